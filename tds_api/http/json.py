"""JSON of requests and responses: decimals as text, times in ISO 8601, stored JSON unchanged; and ETags."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from flask import Response, request
from flask.json.provider import JSONProvider

#: No argument nests more deeply; JSON that does is an attack.
DEEPEST = 64


def read_json(text: str | bytes) -> Any:
    """The value of JSON text.

    Raises ValueError for malformed text, deeper nesting than DEEPEST, half a surrogate pair, and numbers with too many
    digits to represent.
    """
    try:
        value = msgspec.json.decode(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level = [value]
    for _ in range(DEEPEST):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return value
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"It nests more than {DEEPEST} levels."


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


class ExactJson(JSONProvider):
    """msgspec as Flask's JSON provider: exact decimals, raw JSON passed through."""

    def dumps(self, obj: Any, **_: Any) -> str:
        """The JSON text of `obj`."""
        return msgspec.json.encode(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """The value of JSON text; raises as `read_json` does."""
        return read_json(s)


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
