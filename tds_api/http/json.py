"""How JSON is spelled: answers with decimals as text, times in ISO 8601, kept JSON as it was kept; and what is read.

Answers that need not be sent twice: who already has what they ask for is told so, and nothing is read for them.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from flask import Response, request
from flask.json.provider import JSONProvider

#: No argument nests so deeply; what does is meant to break something.
DEEPEST = 64


def read_json(text: str | bytes) -> Any:
    """The value of JSON text. Raises ValueError for what is none, nests too deeply, or holds what nobody can keep.

    Half a surrogate pair and numbers of more digits than fit are refused, too.
    """
    try:
        value = msgspec.json.decode(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level = [value]
    for _ in range(DEEPEST):
        level = [child for each in level for child in _children(each)]
        if not level:
            return value
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"It nests more than {DEEPEST} levels."


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


class ExactJson(JSONProvider):
    """msgspec for Flask: exact, and it passes raw JSON through."""

    def dumps(self, obj: Any, **_: Any) -> str:
        """The JSON text of `obj`."""
        return msgspec.json.encode(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """The value of JSON text; raises ValueError for what is none."""
        return read_json(s)


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
