"""ETags: 304 to a client that has the response already; and how the API description shows their headers."""

from collections.abc import Callable
from typing import Any, Final

from flask import Response, request

#: OpenAPI objects of the two headers.
ETAG_HEADER: Final = {"ETag": {"description": "send it back as If-None-Match", "schema": {"type": "string"}}}
IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of an answer that is at hand: 304 while it would be the same",
    "schema": {"type": "string"},
}


def with_etag(tag: str | None, read: Callable[[], Any]) -> Any:
    """304 if the client has the response of this ETag, else what `read` returns.

    `tag` must be made before `read` runs, so that it is never newer than the response.
    """
    if tag is None:
        return read()
    headers = {"ETag": f'W/"{tag}"', "Cache-Control": "private, no-cache"}
    if request.if_none_match.contains_weak(tag):
        return Response(status=304, headers=headers)
    return read(), 200, headers
