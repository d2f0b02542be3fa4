"""The correlation id: one name for a request, from its first byte to the row it changed."""

import re
import secrets

import structlog
from flask import Flask, Response, request

HEADER = "X-Correlation-Id"

_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
#: Where a WSGI environment carries it.
CORRELATION_KEY = "tds.correlation_id"


def correlation_id() -> str:
    """The id of the request at hand."""
    return str(request.environ[CORRELATION_KEY])


def install_correlation(app: Flask) -> None:
    """Give every request an id, its caller's if that is acceptable; log lines and the answer carry it."""
    app.before_request(_begin)
    app.after_request(_answer)


def _begin() -> None:
    environ = request.environ
    given = environ.get("HTTP_X_CORRELATION_ID")
    chosen = given if given and _ACCEPTABLE.fullmatch(given) else secrets.token_hex(16)
    environ[CORRELATION_KEY] = chosen
    structlog.contextvars.bind_contextvars(correlation_id=chosen)


def _answer(response: Response) -> Response:
    response.headers[HEADER] = request.environ.get(CORRELATION_KEY, "")
    return response
