"""The correlation id: identifies a request in its response, log lines, traces and the rows it changed."""

import re
from collections.abc import Mapping
from random import getrandbits
from time import perf_counter
from typing import Any

import structlog
from flask import Flask, Response, request

from tds_core.observability.metrics import request_seconds
from tds_core.observability.slow_operations import slow

HEADER = "X-Correlation-Id"

_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
#: Key of a WSGI environment: the correlation id.
CORRELATION_KEY = "tds.correlation_id"
_BEGAN_KEY = "tds.began"


def correlation_id() -> str:
    """The id of the current request."""
    return str(request.environ[CORRELATION_KEY])


def install_correlation(app: Flask) -> None:
    """Give every request an id, the caller's if acceptable; log lines and the response carry it."""
    app.before_request(_begin)
    app.after_request(_finish)


def choose_correlation_id(environ: Mapping[str, Any]) -> str:
    """The caller's id if acceptable, else a new one."""
    requested = environ.get("HTTP_X_CORRELATION_ID")
    if requested and _ACCEPTABLE.fullmatch(requested):
        return str(requested)
    # An identifier, not a secret: os.urandom releases the interpreter to other threads, which costs ten times the id.
    return f"{getrandbits(128):032x}"


def _begin() -> None:
    environ = request.environ
    if CORRELATION_KEY not in environ:
        environ[CORRELATION_KEY] = choose_correlation_id(environ)
    # A server's thread may have answered another caller before.
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(correlation_id=environ[CORRELATION_KEY])
    environ[_BEGAN_KEY] = perf_counter()


def _finish(response: Response) -> Response:
    if _BEGAN_KEY in request.environ:
        seconds = perf_counter() - request.environ[_BEGAN_KEY]
        # Routes are the names of endpoints, which are few; what no route takes is one of them.
        request_seconds.labels(request.endpoint or "none", f"{response.status_code // 100}xx").observe(seconds)
        slow.observe("request", seconds, method=request.method, route=request.endpoint, status=response.status_code)
    response.headers[HEADER] = request.environ.get(CORRELATION_KEY, "")
    return response
