"""Admission of a browser: who gives the API token once is let in for a while, by a signed cookie."""

import hmac
import secrets
from dataclasses import dataclass

from flask import Request, Response

from tds_api.auth import bears
from tds_api.cookies import SignedCookie

ADMISSION_SECONDS = 3600


@dataclass(frozen=True, slots=True, repr=False)
class Admission:
    """Lets into the pages under `path` whoever has the API token; nobody when none is set."""

    api_token: str
    path: str

    def admits(self, request: Request) -> bool:
        """Whether this browser gave the token lately, or the request bears it as programs do."""
        return bool(self.form_key(request)) or bears(request, self.api_token)

    def admit(self, request: Request, response: Response, token: str) -> bool:
        """Let this browser in if `token` is the API token."""
        fits = bool(self.api_token) and hmac.compare_digest(token.encode(), self.api_token.encode())
        if fits:
            self._cookie().put(request, response, secrets.token_urlsafe(24))
        return fits

    def form_key(self, request: Request) -> str:
        """What our forms bring back and another site's cannot know; empty for a browser that was not let in."""
        return str(self._cookie().read(request) or "")

    def is_own_form(self, request: Request) -> bool:
        """Whether what was posted comes from our page, or bears the token, which no browser adds by itself."""
        key, given = self.form_key(request), request.form.get("form_key", "")
        return (key != "" and hmac.compare_digest(key.encode(), given.encode())) or bears(request, self.api_token)

    def _cookie(self) -> SignedCookie:
        return SignedCookie("tds_admission", self.path, self.api_token, ADMISSION_SECONDS)
