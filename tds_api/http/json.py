"""JSON of requests and responses: decimals as text, times in ISO 8601, stored JSON unchanged."""

from collections.abc import Iterable
from typing import Any

import msgspec
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
