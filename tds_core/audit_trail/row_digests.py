"""Row digests: the append-only tables whose rows are sealed, and the query that digests their rows.

PostgreSQL's own text of a row is exact for all its types, quotes what must be, and distinguishes null from empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_models.alerts import AlertTransition
from tds_models.audit_trail import AuditEntry
from tds_models.auth import OperatorAction
from tds_models.base import Base
from tds_models.dead_letters import DeadLetterAction

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class SealedTable:
    """An append-only table whose rows are sealed.

    `written_at`: the column with the time a row was written. `label`: the columns that identify a row to a person.
    `retires`: TDS_AUDIT_DAYS applies to it.
    """

    model: type[Base]
    written_at: str
    label: tuple[str, ...]
    retires: bool = False

    @property
    def name(self) -> str:
        """The table's name."""
        return str(self.model.__tablename__)

    @property
    def columns(self) -> tuple[str, ...]:
        """The table's present columns; a seal lists those there were when it was made."""
        return tuple(column.key for column in self.model.__table__.columns)


#: By name, the tables the chain covers. Each needs a bigint identity called id, and triggers that refuse edits.
SEALED_TABLES: Mapping[str, SealedTable] = {
    table.name: table
    for table in (
        SealedTable(AuditEntry, "recorded_at", ("entity", "source_id", "version"), retires=True),
        SealedTable(OperatorAction, "recorded_at", ("caller", "operation", "subject")),
        SealedTable(DeadLetterAction, "acted_at", ("letter_id", "action", "operator")),
        SealedTable(AlertTransition, "at", ("rule", "subject", "to_state"), retires=True),
    )
}

# The text of a row depends on these settings; fixed, a row has one digest whatever the role or the database prefers.
_SPELLING = text("""
set local timezone = 'UTC'; set local datestyle = 'ISO, YMD'; set local intervalstyle = 'iso_8601';
set local bytea_output = 'hex'; set local extra_float_digits = 1
""")


def fix_spelling(session: Session) -> None:
    """Fix how values are written as text, until the transaction ends."""
    session.execute(_SPELLING)


def digests_of(table: SealedTable, columns: Sequence[str]) -> str:
    """A query for the `id` and the `digest` of `columns` of every row; a `where` on alias `t` may follow."""
    values = ", ".join(f"t.{name}" for name in columns)
    spelled = f"convert_to(cast(row({values}) as text), 'UTF8')"
    return f"select t.id, substring(sha256({spelled}) for {DIGEST_BYTES}) as digest from {table.name} t"
