"""Answers that need not be sent twice: who already has what they ask for is told so, and nothing is read for them."""

from collections.abc import Callable
from typing import Any, Final

from flask import Response, request

#: The header of an answer, for the description of the API.
TOLD: Final = {"ETag": {"description": "send it back as If-None-Match", "schema": {"type": "string"}}}
ASKED: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of an answer that is at hand: 304 while it would be the same",
    "schema": {"type": "string"},
}


def tagged(tag: str | None, read: Callable[[], Any]) -> Any:
    """304 for who has the answer of this tag, else what `read` finds. The tag was made before, so it is never newer."""
    if tag is None:
        return read()
    headers = {"ETag": f'W/"{tag}"', "Cache-Control": "private, no-cache"}
    if request.if_none_match.contains_weak(tag):
        return Response(status=304, headers=headers)
    return read(), 200, headers
