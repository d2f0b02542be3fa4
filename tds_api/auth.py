"""Who may ask: the bearer of the administrator's token."""

import hmac
from collections.abc import Callable

from flask import Request, request

from tds_api.errors import UnauthorizedError

SCHEME = "bearerToken"


def bears(asked: Request, token: str) -> bool:
    """Whether a request carries `token` as its bearer; never when there is none to carry."""
    kind, _, presented = asked.headers.get("Authorization", "").partition(" ")
    given = presented.strip().encode("utf-8", "surrogateescape")
    return bool(token) and kind.lower() == "bearer" and hmac.compare_digest(given, token.encode())


def token_guard(token: str) -> Callable[[], None]:
    """A check to run before a blueprint's routes; raises UnauthorizedError unless the request bears `token`."""

    def check() -> None:
        if not token:
            raise UnauthorizedError("No API token is set here; set TDS_API_TOKEN.")
        if not bears(request, token):
            raise UnauthorizedError("This needs 'Authorization: Bearer' with the API token.")

    return check
