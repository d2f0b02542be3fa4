"""The append-only tables whose rows are sealed, and how PostgreSQL spells a row to be digested."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_models.actions import OperatorAction
from tds_models.base import Base
from tds_models.history import AuditEntry
from tds_models.letters import LetterAction

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
