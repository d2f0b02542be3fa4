"""Pages for people: rendered here, without a script, with headers that let nobody else's content in."""

from typing import Any

from flask import Response, make_response, render_template

# Other sites hear nothing of where people come from. Our own pages must: under "no-referrer" a browser also leaves out
# the origin of a form, by which ours are told from theirs.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def page(template: str, *, status: int = 200, **shown: Any) -> Response:
    """The page of `template`."""
    response = make_response(render_template(template, **shown), status)
    response.headers.update(_HEADERS)
    return response
