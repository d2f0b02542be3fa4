"""How answers are spelled as JSON: decimals as text, times in ISO 8601, kept JSON as it was kept."""

from typing import Any

import msgspec
from flask.json.provider import JSONProvider


class ExactJson(JSONProvider):
    """msgspec for Flask: exact, and it passes raw JSON through."""

    def dumps(self, obj: Any, **_: Any) -> str:
        """The JSON text of `obj`."""
        return msgspec.json.encode(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """The value of JSON text; raises ValueError for what is none."""
        return msgspec.json.decode(s)
