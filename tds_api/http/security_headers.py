"""Headers on every answer that keep browsers from making something else of it."""

import base64
import hashlib
import re

from flask import Flask, Response, request

#: JSON is JSON, whatever it looks like.
NOSNIFF = ("X-Content-Type-Options", "nosniff")

_NOTHING = "default-src 'none'; frame-ancestors 'none'"
# The page of the description brings one script of its own, allowed by its hash; Swagger UI writes styles.
_DOCS = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def install_protection(app: Flask) -> None:
    """Give every answer the headers; a page that says more of itself keeps what it says."""
    app.after_request(_protect)


def _protect(response: Response) -> Response:
    response.headers.setdefault(*NOSNIFF)
    if "Content-Security-Policy" not in response.headers:
        is_docs = request.endpoint is not None and request.endpoint.startswith("api-docs.")
        is_page = response.mimetype == "text/html" and is_docs
        response.headers["Content-Security-Policy"] = _policy_of(response) if is_page else _NOTHING
    return response


def _policy_of(page: Response) -> str:
    digests = (hashlib.sha256(script).digest() for script in _INLINE.findall(page.get_data()))
    return _DOCS.format(scripts="".join(f" 'sha256-{base64.b64encode(each).decode()}'" for each in digests))
