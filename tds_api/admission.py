"""Admission of a browser: administrators are let in; so is, by a signed cookie, who gave the API token lately."""

import hmac
import secrets
from dataclasses import dataclass

from flask import Request, Response

from tds_api.callers import Known, identify, is_token
from tds_api.cookies import SignedCookie
from tds_api.edge import Edge
from tds_core.access.caller import TOKEN, Caller
from tds_core.access.errors import UnauthorizedError
from tds_core.access.sessions import csrf_token
from tds_models.callers import Role

ADMISSION_SECONDS = 3600


@dataclass(frozen=True, slots=True, repr=False)
class Admission:
    """Lets administrators into the pages under `path`: logged in, with a key, or by the API token."""

    edge: Edge
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

    def who(self, request: Request) -> Caller | None:
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
