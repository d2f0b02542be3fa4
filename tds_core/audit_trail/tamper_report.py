"""The verification report: how much of the sealed history was checked, and every place where it was changed."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class ViolationKind(StrEnum):
    """How the history was changed."""

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
class AuditViolation:
    """One place: a row of table `trail` by its id, or a seal by its number."""

    kind: ViolationKind
    trail: str
    id: int
    says: str


@dataclass(frozen=True, slots=True)
class Unsealed:
    """The rows of table `trail` that no seal covers yet, and when the oldest of them was written."""

    trail: str
    row_count: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class Restart:
    """The chain was begun anew with seal `number`: the seals before prove nothing now. `note`: who, and why."""

    number: int
    at: datetime
    note: str


@dataclass(frozen=True, slots=True)
class Erasure:
    """Seal `number` says that a person's values were erased from rows of `trail`. `note`: JSON, who and why."""

    number: int
    at: datetime
    trail: str
    row_count: int
    note: str


@dataclass(slots=True)
class VerificationReport:
    """The result of a verification; its field names are those of `tds audit verify --json`.

    `breaks`: the first `most` of `break_count` violations. `retired`: by table, the last id removed on purpose.
    `erasures`: where personal values were erased on purpose; `erased_row_count`: sealed rows that stand as they say.
    `restarts`: where the chain was begun anew; `unproven_seal_count`: seals before the last of them whose key is lost.
    """

    seal_count: int = 0
    row_count: int = 0
    break_count: int = 0
    breaks: list[AuditViolation] = field(default_factory=list)
    retired: dict[str, int] = field(default_factory=dict)
    erasures: list[Erasure] = field(default_factory=list)
    erased_row_count: int = 0
    restarts: list[Restart] = field(default_factory=list)
    unproven_seal_count: int = 0
    unsealed: list[Unsealed] = field(default_factory=list)
    head_number: int = 0
    head_digest: str = ""
    most: int = 100

    def add(self, kind: ViolationKind, trail: str, id: int, says: str) -> None:  # noqa: A002 (the row's own word)
        """Count a violation, and keep it while there are fewer than `most`."""
        self.break_count += 1
        if len(self.breaks) < self.most:
            self.breaks.append(AuditViolation(kind, trail, id, says))
