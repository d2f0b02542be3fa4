"""The story of one record: events, attempts, changes and dead letters in one line of time."""

from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.reading.paging import Row
from tds_models.entity import Entity

#: The newest of each kind; older ones are in the history and the lists.
LIMIT = 200

_EVENTS = text("""
select received_at as at, id::text as id, event, complete, source_modified_at, correlation_id,
       verdict, verdict_at, verdict_reason
from tds_inbox_events where source = :source and entity = :entity and source_id = :id order by id desc limit :limit
""")
_ATTEMPTS = text("""
select ended_at as at, attempt, outcome, error_class, error, worker, waited_seconds, correlation_id
from tds_sync_logs where source = :source and entity = :entity and source_id = :id order by ended_at desc limit :limit
""")
_CHANGES = text("""
select recorded_at as at, version, operation, changes::text as changes, origin, origin_id::text as origin_id,
       source_modified_at, correlation_id
from tds_audit_trail where source = :source and entity = :entity and source_id = :id order by version desc limit :limit
""")
_DEAD_LETTERS = text("""
select dead_at as at, id::text as id, error_class, error, attempts, resolved_at, resolution, correlation_id
from tds_dead_letter_queue where source = :source and entity = :entity and source_id = :id
order by dead_at desc limit :limit
""")
_WORK = text("""
select priority, origin, must_read, attempts, snoozes, crashes, next_attempt_at, leased_by, leased_until, last_error,
       created_at, correlation_id
from tds_sync_queue where source = :source and entity = :entity and source_id = :id
""")

# In this order when two happened at once: what arrived, what was tried, what it changed, what was given up.
_KINDS = (("event", _EVENTS), ("attempt", _ATTEMPTS), ("change", _CHANGES), ("dead_letter", _DEAD_LETTERS))


def explain(session: Session, entity: Entity, source_id: str) -> dict[str, Any]:
    """Everything TDS knows of one record, the oldest first, and the work it is still owed. Empty for a stranger."""
    named = {"source": entity.stream.source, "entity": entity.name, "id": source_id, "limit": LIMIT}
    steps = [
        _step(kind, dict(row)) for kind, statement in _KINDS for row in session.execute(statement, named).mappings()
    ]
    owed = session.execute(_WORK, named).mappings().first()
    return {
        "entity": entity.name,
        "source_id": source_id,
        "steps": sorted(steps, key=lambda step: step["at"]),
        "owed": None if owed is None else dict(owed),
    }


def _step(kind: str, detail: Row) -> Row:
    if "changes" in detail:
        detail["changes"] = msgspec.Raw(detail["changes"].encode())
    return {"at": detail.pop("at"), "kind": kind, "correlation_id": detail.pop("correlation_id"), "detail": detail}
