"""Admission of a browser: administrators are let in; so is, by a signed cookie, who gave the API token lately.

Signed cookies: small values a browser keeps for us, which nobody can alter and which end by themselves.
"""

import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from flask import Request, Response
from itsdangerous import BadData, URLSafeTimedSerializer

from tds_api.auth.authentication import Known, identify, is_token
from tds_api.context import Context
from tds_core.auth.principal import TOKEN, Principal, UnauthorizedError
from tds_core.auth.sessions import csrf_token
from tds_models.auth import Role


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


ADMISSION_SECONDS = 3600


@dataclass(frozen=True, slots=True, repr=False)
class PageAccess:
    """Lets administrators into the pages under `path`: logged in, with a key, or by the API token."""

    edge: Context
    path: str

    def admits(self, request: Request) -> bool:
        """Whether this browser gave the token lately, or the request comes from an administrator."""
        return self.who(request) is not None

    def admit(self, request: Request, response: Response, token: str) -> bool:
        """Let this browser in if `token` is the API token."""
        fits = is_token(self.edge.settings, token)
        if fits:
            self._cookie().put(request, response, secrets.token_urlsafe(24))
        return fits

    def who(self, request: Request) -> Principal | None:
        """The administrator who asks; None for everybody else."""
        if self._cookie().read(request):
            return TOKEN
        known = self._administrator(request)
        return known.caller if known else None

    def form_key(self, request: Request) -> str:
        """What our forms bring back and another site's cannot know; empty for a browser that was not let in."""
        if kept := self._cookie().read(request):
            return str(kept)
        known = self._administrator(request)
        return csrf_token(known.session_token) if known and known.session_token else ""

    def is_own_form(self, request: Request) -> bool:
        """Whether what was posted comes from our page, or with a key, which no browser adds by itself."""
        key, given = self.form_key(request), request.form.get("form_key", "")
        if key:
            return hmac.compare_digest(key.encode(), given.encode("utf-8", "surrogateescape"))
        return self._administrator(request) is not None

    def _administrator(self, request: Request) -> Known | None:
        try:
            known = identify(self.edge, request)
        except UnauthorizedError:
            return None
        reaches = known.caller.reaches(self.path.removeprefix("/api/tds/"))
        return known if known.caller.may(Role.ADMIN) and reaches else None

    def _cookie(self) -> SignedCookie:
        return SignedCookie("tds_admission", self.path, self.edge.settings.api_token, ADMISSION_SECONDS)
