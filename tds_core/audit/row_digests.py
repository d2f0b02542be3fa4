"""Rows held against their seal: all of them at once, and one by one only where that does not come out even.

Breaks: places where the history is not as it was sealed, in words that name the very row or seal.

The append-only tables whose rows are sealed, and how PostgreSQL spells a row to be digested.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.audit.chain import Seal
from tds_models.audit import AuditEntry
from tds_models.auth import OperatorAction
from tds_models.base import Base
from tds_models.dead_letters import LetterAction


class ViolationKind(StrEnum):
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
class Violation:
    """One place: a row of `trail` by its id, or a seal by its number."""

    kind: ViolationKind
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
class VerificationReport:
    """What verifying came to. `breaks` are the first of `break_count`; `retired` tells what was removed on purpose."""

    seal_count: int = 0
    row_count: int = 0
    break_count: int = 0
    breaks: list[Violation] = field(default_factory=list)
    retired: dict[str, int] = field(default_factory=dict)
    unsealed: list[Unsealed] = field(default_factory=list)
    head_number: int = 0
    head_digest: str = ""
    most: int = 100

    def broke(self, kind: ViolationKind, trail: str, id: int, says: str) -> None:  # noqa: A002 (the row's own word)
        """Write a break down, or only count it when there are many."""
        self.break_count += 1
        if len(self.breaks) < self.most:
            self.breaks.append(Violation(kind, trail, id, says))


DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Trail:
    """An append-only table.

    `moment` is when a row was written, `said` tells a person which row it is; `retires`: TDS_AUDIT_DAYS holds for it.
    """

    model: type[Base]
    moment: str
    said: tuple[str, ...]
    retires: bool = False

    @property
    def name(self) -> str:
        """The table's name."""
        return str(self.model.__tablename__)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column there is today; a seal remembers those there were when it was made."""
        return tuple(column.key for column in self.model.__table__.columns)


#: What the chain covers: one line a table. It needs a bigint identity called id, and triggers that refuse edits.
TRAILS: Mapping[str, Trail] = {
    trail.name: trail
    for trail in (
        Trail(AuditEntry, "recorded_at", ("entity", "source_id", "version"), retires=True),
        Trail(OperatorAction, "recorded_at", ("caller", "operation", "subject")),
        Trail(LetterAction, "acted_at", ("letter_id", "action", "operator")),
    )
}

# The text of a row hangs on these: whoever connects, a row has one spelling.
_SPELLING = text("""
set local timezone = 'UTC'; set local datestyle = 'ISO, YMD'; set local intervalstyle = 'iso_8601';
set local bytea_output = 'hex'; set local extra_float_digits = 1
""")


def fix_spelling(session: Session) -> None:
    """Let rows be spelled alike in this transaction, whatever the role or the database prefers."""
    session.execute(_SPELLING)


def digests_of(trail: Trail, columns: Sequence[str]) -> str:
    """A query for the `id` of every row of a table and the `digest` of these columns; a condition can follow.

    PostgreSQL's own text of a row is exact for all its types, quotes what must be, and tells null from empty.
    """
    values = ", ".join(f"t.{name}" for name in columns)
    spelled = f"convert_to(cast(row({values}) as text), 'UTF8')"
    return f"select t.id, substring(sha256({spelled}) for {DIGEST_BYTES}) as digest from {trail.name} t"


_RANGE = re.compile(r"\[(\d+),(\d+)\)")


def check_rows(session: Session, seal: Seal, after: int, proof: VerificationReport) -> None:
    """Hold the rows with ids behind `after` up to the seal's last one against what `seal` says of them."""
    trail = TRAILS[seal.trail]
    digests = digests_of(trail, seal.columns)
    statement = text(f"""
        select count(*) as row_count, cast(range_agg(int8range(id, id, '[]')) as text) as ids,
               string_agg(digest, '' order by id) as digests
        from ({digests} where t.id > :after and t.id <= :upto) r""")
    found = session.execute(statement, {"after": after, "upto": seal.last_id}).mappings().one()
    proof.row_count += seal.row_count
    if found["ids"] != seal.ids or bytes(found["digests"] or b"") != seal.digests:
        _find_violations(session, trail, seal, after, proof)


def _find_violations(session: Session, trail: Trail, seal: Seal, after: int, proof: VerificationReport) -> None:
    expected = dict(zip(_ids(seal.ids), _chunks(seal.digests), strict=True))
    there = _rows(session, trail, seal, after)
    for row_id in sorted(expected.keys() | there.keys()):
        row = there.get(row_id)
        if row is None:
            says = f"row {row_id} of {trail.name} was deleted; it was there when seal {seal.number} was made"
            proof.broke(ViolationKind.DELETED, trail.name, row_id, says)
        elif row_id not in expected:
            says = f"{_named(trail, row)} was inserted; it was not there when seal {seal.number} was made"
            proof.broke(ViolationKind.INSERTED, trail.name, row_id, says)
        elif bytes(row["digest"]) != expected[row_id]:
            says = f"{_named(trail, row)} was edited after seal {seal.number} was made"
            proof.broke(ViolationKind.EDITED, trail.name, row_id, says)


def check_retired(session: Session, trail: Trail, upto: int, proof: VerificationReport) -> None:
    """Whatever stands at or before the end of what was retired was put there afterwards."""
    said = ", ".join(f"t.{name}" for name in trail.said)
    statement = text(f"select t.id, {said} from {trail.name} t where t.id <= :upto order by t.id")
    for row in session.execute(statement, {"upto": upto}).mappings():
        says = f"{_named(trail, row)} was inserted; all rows up to {upto} were retired"
        proof.broke(ViolationKind.INSERTED, trail.name, row["id"], says)


def _rows(session: Session, trail: Trail, seal: Seal, after: int) -> dict[int, RowMapping]:
    said = "".join(f", t.{name}" for name in trail.said)
    statement = text(f"""
        select d.id, d.digest{said} from ({digests_of(trail, seal.columns)} where t.id > :after and t.id <= :upto) d
        join {trail.name} t on t.id = d.id""")
    found = session.execute(statement, {"after": after, "upto": seal.last_id}).mappings()
    return {row["id"]: row for row in found}


def _named(trail: Trail, row: RowMapping) -> str:
    return f"row {row['id']} of {trail.name} ({', '.join(f'{name} {row[name]}' for name in trail.said)})"


def _ids(ranges: str) -> Iterator[int]:
    for first, end in _RANGE.findall(ranges):
        yield from range(int(first), int(end))


def _chunks(digests: bytes) -> Iterator[bytes]:
    for start in range(0, len(digests), DIGEST_BYTES):
        yield digests[start : start + DIGEST_BYTES]
