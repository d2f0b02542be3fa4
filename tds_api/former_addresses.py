"""Former addresses: requests by the previous system's paths are led to today's, or told that there is none."""

from flask import Flask, Response, redirect, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from tds_api.auth.permissions import ANYBODY, needs
from tds_api.http.problems import problem

API = "/api/tds"
#: Paths that moved, by their beginning; the longest that fits decides.
MOVED = {
    "/api/bff/tds/webhooks": f"{API}/zoho/webhooks",
    "/api/bff/tds": API,
    f"{API}/webhooks": f"{API}/zoho/webhooks",
}
_ENDPOINT = "former_address"
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def install_former_addresses(app: Flask) -> None:
    """Answer every former address of `app`: 308 with the new one where a route is there, 410 where none is."""

    @needs(ANYBODY)
    def former(path: str = "") -> Response:
        del path  # the whole address is looked at
        here = new_address(request.path)
        if here is None or not _has_route(app, here):
            return _gone(here)
        query = f"?{request.query_string.decode(errors='replace')}" if request.query_string else ""
        moved = problem(status=308, code="moved", detail=f"This address moved to {here}.", address=here)
        moved.headers["Location"] = redirect(f"{here}{query}", 308).headers["Location"]
        return moved

    for beginning in MOVED:
        for rule in (beginning, f"{beginning}/<path:path>"):
            app.add_url_rule(rule, _ENDPOINT, former, methods=_METHODS)


def new_address(path: str) -> str | None:
    """Today's address of a former one; None where the path is none of those."""
    for beginning in sorted(MOVED, key=len, reverse=True):
        if path == beginning or path.startswith(f"{beginning}/"):
            return f"{MOVED[beginning]}{path.removeprefix(beginning)}"
    return None


def _has_route(app: Flask, path: str) -> bool:
    """Whether a route of today answers there, by this request's method."""
    try:
        endpoint, _ = app.url_map.bind("").match(path, method=request.method)
    except RequestRedirect:
        return True
    except HTTPException:
        return False
    return bool(endpoint != _ENDPOINT)


def _gone(here: str | None) -> Response:
    return problem(
        status=410,
        code="gone",
        detail=f"This address of the previous system is gone, and nothing answers {request.method} {here}. Every route"
        f" of today is described at {API}/docs.",
        address=f"{API}/docs",
    )
