"""How JSON is spelled: answers with decimals as text, times in ISO 8601, kept JSON as it was kept; and what is read."""

from collections.abc import Iterable
from typing import Any

import msgspec
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
