"""Places: the tables and columns where a person's values may stand, and how each is searched."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit_trail.row_digests import SEALED_TABLES
from tds_core.erasure.scrub import Scrubber
from tds_core.quality.unstorable_values import spell_exactly
from tds_core.records.source_record import decode
from tds_models.base import Base

IDS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Columns of a table. `raw`: those with a record by the source's keys. `also`: what else changes with them."""

    table: str
    columns: tuple[str, ...]
    raw: tuple[str, ...] = ()
    also: str = ""

    @property
    def is_sealed(self) -> bool:
        """Whether its rows are sealed, so that only a note can change them."""
        return self.table in SEALED_TABLES


#: Searched by entity and id, all of them by an index but the differences, which are few.
OF_RECORDS: Final = (
    Place(table="tds_audit_trail", columns=("changes",)),
    # What a body lacks now must not be applied: its record is read.
    Place(table="tds_inbox_events", columns=("record", "verdict_reason"), raw=("record",), also="complete = false"),
    Place(table="tds_dead_letter_queue", columns=("record", "error"), raw=("record",)),
    Place(table="tds_comparison_differences", columns=("fields", "explanation")),
    Place(table="tds_sync_logs", columns=("error",)),
    Place(table="tds_sync_queue", columns=("last_error",)),
)
#: Small tables without an index for this: each is read whole, once for all values.
OF_VALUES: Final = (
    Place(table="tds_findings", columns=("detail",)),
    Place(table="tds_sync_runs", columns=("report", "asked", "end_reason")),
    Place(table="tds_run_holds", columns=("preview", "reason")),
    Place(table="tds_validation_reports", columns=("tally", "report", "error")),
    Place(table="tds_alerts", columns=("summary", "detail", "note")),
    Place(table="tds_alert_transitions", columns=("reason",)),
    Place(table="tds_alert_deliveries", columns=("reason", "tries")),
    Place(table="tds_alert_silences", columns=("reason",)),
    Place(table="tds_operator_actions", columns=("detail", "subject")),
    Place(table="tds_dead_letter_actions", columns=("detail",)),
    Place(table="tds_dead_letter_revivals", columns=("died_of", "error")),
    Place(table="tds_dead_letter_batches", columns=("asked",)),
    Place(table="tds_healing_actions", columns=("detail",)),
    Place(table="tds_event_deliveries", columns=("error", "tries")),
    Place(table="tds_replay_batches", columns=("asked",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubbedRow:
    """A row that holds values of the person, and what its columns are to hold instead; JSON as text."""

    id: int
    contents: dict[str, str]


def rows_of_records(
    session: Session, place: Place, entity: str, ids: Sequence[str], scrubber: Scrubber, *, locks: bool
) -> Iterator[ScrubbedRow]:
    """The rows of `place` about these records that hold something to erase; `locks`: until the transaction ends."""
    condition = "entity = :entity and source_id = any(:ids)"
    statement = text(f"{_select(place)} where {condition} order by id{_lock(place, locks)}")
    for start in range(0, len(ids), IDS_AT_ONCE):
        params = {"entity": entity, "ids": list(ids[start : start + IDS_AT_ONCE])}
        yield from _scrubbed(session, place, statement, params, scrubber)


def rows_with_values(session: Session, place: Place, scrubber: Scrubber, *, locks: bool) -> Iterator[ScrubbedRow]:
    """The rows of `place` in which one of the person's values stands, whatever they are about."""
    if scrubber.pattern is None:
        return
    # PostgreSQL has no look-behind with a width: it finds more, and what is no whole word is sorted out here.
    pattern = scrubber.pattern.pattern.removeprefix(r"(?<!\w)").removesuffix(r"(?!\w)")
    condition = " or ".join(f"cast({name} as text) ~* :pattern" for name in place.columns)
    statement = text(f"{_select(place)} where {condition} order by id{_lock(place, locks)}")
    yield from _scrubbed(session, place, statement, {"pattern": pattern}, scrubber)


def _lock(place: Place, locks: bool) -> str:
    return " for update" if locks and not place.is_sealed else ""


def _select(place: Place) -> str:
    columns = ", ".join(f"cast({name} as text) as {name}" for name in place.columns)
    return f"select id, {columns} from {place.table}"


def _scrubbed(
    session: Session, place: Place, statement: Any, params: dict[str, Any], scrubber: Scrubber
) -> Iterator[ScrubbedRow]:
    for row in session.execute(statement, params).mappings().all():
        contents = {}
        for name in place.columns:
            content = scrubbed(row[name], scrubber, is_json=is_json(place.table, name), is_raw=name in place.raw)
            if content is not None:
                contents[name] = content
        if contents:
            yield ScrubbedRow(id=row["id"], contents=contents)


def scrubbed(content: str | None, scrubber: Scrubber, *, is_json: bool, is_raw: bool, key: str = "") -> str | None:
    """What a column is to hold instead of `content`; None where nothing of it is erased."""
    if content is None:
        return None
    value = decode(content) if is_json else content
    clean = scrubber.record(value) if is_raw else scrubber.value(value, key)
    if clean == value:
        return None
    return spell_exactly(clean).decode() if is_json else str(clean)


def is_json(table: str, column: str) -> bool:
    """Whether a column of one of TDS's own tables holds JSON."""
    return Base.metadata.tables[table].columns[column].type.__class__.__name__ == "JSONB"


def write(session: Session, place: Place, row: ScrubbedRow) -> None:
    """Write what is left of a row that is not sealed."""
    parts = [f"{name} = cast(:{name} as {'jsonb' if is_json(place.table, name) else 'text'})" for name in row.contents]
    parts += [place.also] if place.also else []
    session.execute(
        text(f"update {place.table} set {', '.join(parts)} where id = :row_id"), {**row.contents, "row_id": row.id}
    )
