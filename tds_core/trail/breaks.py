"""Breaks: places where the history is not as it was sealed, in words that name the very row or seal."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class BreakKind(StrEnum):
    """What was done to the history."""

    EDITED = "row_edited"
    DELETED = "row_deleted"
    INSERTED = "row_inserted"
    SEAL_EDITED = "seal_edited"
    SEAL_MISSING = "seal_missing"
    SEAL_ADDED = "seal_added"
    CHAIN = "chain_broken"
    KEY = "key_unknown"
    COLUMNS = "columns_gone"


@dataclass(frozen=True, slots=True)
class Break:
    """One place: a row of `trail` by its id, or a seal by its number."""

    kind: BreakKind
    trail: str
    id: int
    says: str


@dataclass(frozen=True, slots=True)
class Unsealed:
    """Rows of a table that no seal vouches for yet, and since when the oldest of them waits."""

    trail: str
    row_count: int
    oldest_at: datetime | None


@dataclass(slots=True)
class Proof:
    """What verifying came to. `breaks` are the first of `break_count`; `retired` tells what was removed on purpose."""

    seal_count: int = 0
    row_count: int = 0
    break_count: int = 0
    breaks: list[Break] = field(default_factory=list)
    retired: dict[str, int] = field(default_factory=dict)
    unsealed: list[Unsealed] = field(default_factory=list)
    head_number: int = 0
    head_digest: str = ""
    most: int = 100

    def broke(self, kind: BreakKind, trail: str, id: int, says: str) -> None:  # noqa: A002 (the row's own word)
        """Write a break down, or only count it when there are many."""
        self.break_count += 1
        if len(self.breaks) < self.most:
            self.breaks.append(Break(kind, trail, id, says))
