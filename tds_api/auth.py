"""Who may ask: the bearer of the administrator's token."""

import hmac
from collections.abc import Callable

from flask import request

from tds_api.errors import UnauthorizedError

SCHEME = "bearerToken"


def token_guard(token: str) -> Callable[[], None]:
    """A check to run before a blueprint's routes; raises UnauthorizedError unless the request bears `token`."""
    expected = token.encode()

    def check() -> None:
        kind, _, presented = request.headers.get("Authorization", "").partition(" ")
        if not expected:
            raise UnauthorizedError("No API token is set here; set TDS_API_TOKEN.")
        given = presented.strip().encode("utf-8", "surrogateescape")
        if kind.lower() != "bearer" or not hmac.compare_digest(given, expected):
            raise UnauthorizedError("This needs 'Authorization: Bearer' with the API token.")

    return check
