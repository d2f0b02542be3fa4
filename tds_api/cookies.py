"""Signed cookies: small values a browser keeps for us, which nobody can alter and which end by themselves."""

from dataclasses import dataclass
from typing import Any

from flask import Request, Response
from itsdangerous import BadData, URLSafeTimedSerializer


@dataclass(frozen=True, slots=True, repr=False)
class SignedCookie:
    """One cookie of the pages under `path`; signed, not secret. Another `key` makes it worthless, an empty one void."""

    name: str
    path: str
    key: str
    seconds: int

    def read(self, request: Request) -> Any:
        """What was put into it, `None` when there is none, or not from us, or too old."""
        given = request.cookies.get(self.name)
        if not given or not self.key:
            return None
        try:
            return self._serializer().loads(given, max_age=self.seconds)
        except BadData:
            return None

    def put(self, request: Request, response: Response, value: Any) -> None:
        """Let the browser keep `value`. It also comes along when another site leads the browser here."""
        encrypted = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
        response.set_cookie(
            self.name, self._serializer().dumps(value), max_age=self.seconds, path=self.path,
            secure=encrypted, httponly=True, samesite="Lax",
        )  # fmt: skip

    def drop(self, response: Response) -> None:
        """Let the browser forget it."""
        response.delete_cookie(self.name, path=self.path)

    def _serializer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self.key, salt=self.name)
