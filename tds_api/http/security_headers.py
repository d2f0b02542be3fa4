"""Security headers of every response: content type as declared, and a Content-Security-Policy."""

import base64
import hashlib
import re

from flask import Flask, Response, request

#: Browsers take the declared content type and do not guess another.
NOSNIFF = ("X-Content-Type-Options", "nosniff")

_DENY_ALL = "default-src 'none'; frame-ancestors 'none'"
# The Swagger page has one inline script, allowed by its hash; Swagger UI writes inline styles.
_DOCS = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def install_protection(app: Flask) -> None:
    """Add the headers to every response; a page's own policy is kept."""
    app.after_request(_protect)


def _protect(response: Response) -> Response:
    response.headers.setdefault(*NOSNIFF)
    if "Content-Security-Policy" not in response.headers:
        is_docs = request.endpoint is not None and request.endpoint.startswith("api-docs.")
        is_page = response.mimetype == "text/html" and is_docs
        response.headers["Content-Security-Policy"] = _policy_of(response) if is_page else _DENY_ALL
    return response


def _policy_of(page: Response) -> str:
    digests = (hashlib.sha256(script).digest() for script in _INLINE.findall(page.get_data()))
    return _DOCS.format(scripts="".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests))
