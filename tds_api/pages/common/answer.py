"""The answer of a route of the API to a page: its JSON, or why it was refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a route: its JSON, or the problem document of a refusal."""

    address: str
    status: int
    data: Any = None
    problem: Mapping[str, Any] | None = None
    raw: bytes = b"null"

    def __bool__(self) -> bool:
        return self.problem is None

    @property
    def items(self) -> list[Any]:
        """The items of a list; none of a refusal."""
        if isinstance(self.data, dict):
            return list(self.data.get("items", ()))
        return self.data if isinstance(self.data, list) else []

    @property
    def next_cursor(self) -> str | None:
        """The cursor of the next page of a list; None on the last."""
        return self.data.get("next_cursor") if isinstance(self.data, dict) else None
