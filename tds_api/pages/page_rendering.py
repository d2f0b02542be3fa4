"""HTML pages: rendered on the server, without scripts, with headers that block foreign content."""

from typing import Any

from flask import Response, make_response, render_template

# Other sites get no referrer. Our own pages need one: under "no-referrer" a browser also leaves out the origin of a
# form, by which our forms are told from foreign ones.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def page(template: str, *, status: int = 200, **values: Any) -> Response:
    """The page of `template`, rendered with `values`."""
    response = make_response(render_template(template, **values), status)
    response.headers.update(_HEADERS)
    return response
