"""Page authentication: administrators, and browsers with a signed cookie set after the API token was entered."""

import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from flask import Request, Response
from itsdangerous import BadData, URLSafeTimedSerializer

from tds_api.auth.authentication import Identity, identify, is_token
from tds_api.process_context import Context
from tds_core.auth.principal import TOKEN, Principal, UnauthorizedError
from tds_core.auth.sessions import csrf_token
from tds_models.auth import Role


@dataclass(frozen=True, slots=True, repr=False)
class SignedCookie:
    """A cookie of the pages under `path`: signed, not secret, with an expiry. Another or an empty `key` voids it."""

    name: str
    path: str
    key: str
    seconds: int

    def read(self, request: Request) -> Any:
        """Its value; None when it is absent, forged or expired."""
        cookie = request.cookies.get(self.name)
        if not cookie or not self.key:
            return None
        try:
            return self._serializer().loads(cookie, max_age=self.seconds)
        except BadData:
            return None

    def set(self, request: Request, response: Response, value: Any) -> None:
        """Set the cookie to `value`. The browser also sends it when another site leads here (SameSite=Lax)."""
        encrypted = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
        response.set_cookie(
            self.name, self._serializer().dumps(value), max_age=self.seconds, path=self.path,
            secure=encrypted, httponly=True, samesite="Lax",
        )  # fmt: skip

    def delete(self, response: Response) -> None:
        """Make the browser delete it."""
        response.delete_cookie(self.name, path=self.path)

    def _serializer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self.key, salt=self.name)


ADMISSION_SECONDS = 3600


@dataclass(frozen=True, slots=True, repr=False)
class PageAuth:
    """Admits administrators to the pages under `path`: logged in, with a key, or by the API token."""

    context: Context
    path: str

    def admits(self, request: Request) -> bool:
        """Whether this browser entered the token lately, or the request is an administrator's."""
        return self.principal(request) is not None

    def admit(self, request: Request, response: Response, token: str) -> bool:
        """Admit this browser if `token` is the API token; returns whether it is."""
        fits = is_token(self.context.settings, token)
        if fits:
            self._cookie().set(request, response, secrets.token_urlsafe(24))
        return fits

    def principal(self, request: Request) -> Principal | None:
        """The administrator behind the request; None for all others."""
        if self._cookie().read(request):
            return TOKEN
        identity = self._administrator(request)
        return identity.principal if identity else None

    def form_key(self, request: Request) -> str:
        """The value that proves a form is from our page; empty for a browser that was not admitted."""
        if value := self._cookie().read(request):
            return str(value)
        identity = self._administrator(request)
        return csrf_token(identity.session_token) if identity and identity.session_token else ""

    def is_our_form(self, request: Request) -> bool:
        """Whether a posted form is from our page, or came with a key, which no browser adds by itself."""
        key, posted = self.form_key(request), request.form.get("form_key", "")
        if key:
            return hmac.compare_digest(key.encode(), posted.encode("utf-8", "surrogateescape"))
        return self._administrator(request) is not None

    def _administrator(self, request: Request) -> Identity | None:
        try:
            identity = identify(self.context, request)
        except UnauthorizedError:
            return None
        reaches = identity.principal.reaches(self.path.removeprefix("/api/tds/"))
        return identity if identity.principal.may(Role.ADMIN) and reaches else None

    def _cookie(self) -> SignedCookie:
        return SignedCookie("tds_admission", self.path, self.context.settings.api_token, ADMISSION_SECONDS)
