"""Dead-letter import: makes dead letters and events of another system's export, one JSON object a line."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, TypedDict

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.dead_letters.burial import fingerprint_of
from tds_core.records.source_record import NUL
from tds_core.sources.zoho.webhooks.errors import NotUnderstoodError, WebhookRefusedError
from tds_core.sources.zoho.webhooks.parser import SOURCE, parse
from tds_models.entities import ENTITIES

log = structlog.get_logger(__name__)

#: The error class of imported dead letters.
FOREIGN = "foreign"
LINES_AT_ONCE = 500


class Line(msgspec.Struct, kw_only=True):
    """One line of an export. `payload` is the body as Zoho sent it, `id` the id in the other system."""

    payload: msgspec.Raw
    error: str
    entity: str
    id: str | int | None = None
    event: str = "updated"
    attempts: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0
    failed_at: datetime | None = None


class LineError(TypedDict):
    """An invalid line of an export: its number, from 1, and why it was not imported."""

    line: int
    error: str


@dataclass(slots=True)
class ImportResult:
    """How many lines became new dead letters, how many were known, and the errors of the others by line number."""

    imported_count: int = 0
    known_count: int = 0
    errors: list[LineError] = field(default_factory=list)


# A line imported before adds nothing: neither a dead letter nor an event.
IMPORT = text("""
with given as (
    select * from jsonb_to_recordset(cast(:rows as jsonb)) as r(
        foreign_id text, entity text, event text, source_id text, source_modified_at timestamptz, record jsonb,
        complete boolean, error text, fingerprint text, attempts int, priority smallint, failed_at timestamptz,
        correlation_id text)
), letters as (
    insert into tds_dead_letter_queue (source, entity, source_id, error_class, error, fingerprint, attempts, priority,
                                       record, correlation_id, foreign_id, dead_at)
    select :source, entity, source_id, :error_class, error, fingerprint, attempts, priority, record, correlation_id,
           foreign_id, least(now(), coalesce(failed_at, now()))
    from given
    on conflict (source, foreign_id) where foreign_id is not null do nothing
    returning id, foreign_id
), events as (
    insert into tds_inbox_events (source, entity, event, source_id, source_modified_at, record, complete, generation,
                                  correlation_id, verdict, verdict_at, verdict_reason)
    select :source, g.entity, g.event, g.source_id, g.source_modified_at, g.record, g.complete, 0, g.correlation_id,
           'dead_lettered', clock_timestamp(), left(g.error, 500)
    from given g join letters using (foreign_id)
)
insert into tds_dead_letter_actions (letter_id, operator, action, detail)
select id, :by, 'imported', jsonb_build_object('foreign_id', foreign_id) from letters
""")


def import_lines(session: Session, lines: Iterable[bytes], *, by: str) -> ImportResult:
    """Import the lines of an export. Invalid lines are reported and stop no other; empty ones are skipped.

    A line imported before, known by its id or else by its content, is counted and adds nothing.
    """
    result = ImportResult()
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    while chunk := list(islice(numbered, LINES_AT_ONCE)):
        rows = [row for number, line in chunk if (row := _parse_line(number, line, result))]
        # One statement must not insert the same id twice.
        distinct = {row["foreign_id"]: row for row in reversed(rows)}
        params = {"source": SOURCE, "error_class": FOREIGN, "by": by}
        params["rows"] = msgspec.json.encode(list(distinct.values())[::-1]).decode()
        imported = int(getattr(session.execute(IMPORT, params), "rowcount", 0))
        result.imported_count += imported
        result.known_count += len(rows) - imported
    log.info("dead_letters_imported", operator=by, letter_count=result.imported_count)
    return result


def _parse_line(number: int, raw: bytes, result: ImportResult) -> dict[str, Any] | None:
    """The row of one line; None for an invalid one, whose number and error are added to `result`."""
    try:
        line = msgspec.json.decode(raw, type=Line)
        if NUL.search(raw):
            raise NotUnderstoodError("it contains a NUL character, which PostgreSQL cannot store")
        return _row(line, line.id if line.id is not None else hashlib.sha256(raw.strip()).hexdigest())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, WebhookRefusedError) as error:
        result.errors.append({"line": number, "error": str(error)[:500]})
        return None


def _row(line: Line, foreign_id: str | int) -> dict[str, Any]:
    correlation_id = f"{FOREIGN}-{foreign_id}"[:100]
    delivery = parse(
        entity=line.entity,
        event=line.event,
        content_type="application/json",
        body=bytes(line.payload),
        query=(),
        form=None,
        headers={},
        correlation_id=correlation_id,
    )
    failed_at = line.failed_at
    return {
        "foreign_id": str(foreign_id),
        "entity": delivery.entity,
        "event": delivery.event,
        "source_id": delivery.source_id,
        "source_modified_at": delivery.source_modified_at,
        "record": msgspec.Raw(delivery.record),
        "complete": delivery.complete,
        "error": line.error[:2000],
        "fingerprint": fingerprint_of(FOREIGN, delivery.entity, line.error),
        "attempts": line.attempts,
        "priority": ENTITIES[delivery.entity].priority,
        "failed_at": failed_at if failed_at is None or failed_at.tzinfo else failed_at.replace(tzinfo=UTC),
        "correlation_id": correlation_id,
    }
