"""Queries of the inbox: recent events with their verdicts, rejected deliveries, and reception in 24 hours."""

from datetime import datetime
from typing import TypedDict, cast

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tds_core.errors import NotFoundError
from tds_core.pagination import Page, read_page
from tds_models.inbox import InboxEvent, RejectedDelivery


class EventRow(TypedDict):
    """An event without its record. `verdict`: None while it is open; `complete`: the record may be applied as it is.

    `duplicate_count`: how often the same content came again. Entity, event and id of an unreadable body are None.
    """

    id: int
    source: str
    entity: str | None
    event: str | None
    source_id: str | None
    source_modified_at: datetime | None
    complete: bool
    correlation_id: str
    received_at: datetime
    verdict: str | None
    verdict_at: datetime | None
    verdict_reason: str | None
    duplicate_count: int


class RejectedDeliveryRow(TypedDict):
    """A rejected delivery. `entity` and `source_id` are unproven; `body_start`: as text; `body_size`: bytes."""

    id: int
    received_at: datetime
    reason: str
    detail: str
    status: int
    path: str
    entity: str | None
    source_id: str | None
    headers: dict[str, str]
    remote_address: str | None
    body_start: str
    body_size: int
    correlation_id: str


class EntityReception(TypedDict):
    """The events of one entity in 24 hours; `entity` is None for unreadable bodies."""

    entity: str | None
    received_count: int
    last_received_at: datetime
    received_last_hour_count: int
    open_count: int
    quarantined_count: int
    oldest_open_at: datetime | None


class UnstoredCount(TypedDict):
    """Webhooks in 24 hours that got a 503 for one reason."""

    reason: str
    count: int
    first_at: datetime
    last_at: datetime


class RejectedCount(TypedDict):
    """Deliveries rejected in 24 hours for one reason."""

    reason: str
    count: int
    last_received_at: datetime


class ReceptionHealth(TypedDict):
    """Reception in the last `hours`. `by_verdict`: events by verdict, those without one under `open`."""

    hours: int
    last_received_at: datetime | None
    received_count: int
    duplicate_count: int
    by_entity: list[EntityReception]
    by_verdict: dict[str, int]
    unstored: list[UnstoredCount]
    rejected: list[RejectedCount]


# Records are personal and large; the mirror row shows their content.
_UNSHOWN = frozenset({"record", "raw", "generation"})
_REPEATS = text("""
select event_id, sum(duplicate_count)::int as repeat_count from tds_inbox_fingerprints
where event_id = any(:ids) and duplicate_count > 0 group by event_id
""")

#: The filter for events that have no verdict yet.
OPEN = "open"


def recent_events(
    session: Session,
    *,
    cursor: str | None = None,
    limit: int = 50,
    entity: str | None = None,
    source_id: str | None = None,
    verdict: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page[EventRow]:
    """Events, the newest first, without their records; `verdict` may be `open`. Times bound `received_at`."""
    table = InboxEvent.__table__
    statement = select(*(column for column in table.columns if column.key not in _UNSHOWN))
    for key, value in (("entity", entity), ("source_id", source_id)):
        if value is not None:
            statement = statement.where(table.c[key] == value)
    if verdict is not None:
        statement = statement.where(table.c.verdict.is_(None) if verdict == OPEN else table.c.verdict == verdict)
    if since is not None:
        statement = statement.where(table.c.received_at >= since)
    if until is not None:
        statement = statement.where(table.c.received_at < until)
    page = read_page(session, statement, keys=[table.c.received_at, table.c.id], cursor=cursor, limit=limit)
    repeats = _repeats(session, [row["id"] for row in page.items])
    for row in page.items:
        row["duplicate_count"] = repeats.get(row["id"], 0)
    return page


def event(session: Session, event_id: int) -> EventRow:
    """One event without its record. Raises NotFoundError."""
    table = InboxEvent.__table__
    statement = select(*(column for column in table.columns if column.key not in _UNSHOWN)).where(
        table.c.id == event_id
    )
    row = session.execute(statement).mappings().first() if event_id < 2**63 else None
    if row is None:
        raise NotFoundError(f"There is no event {event_id}; events are kept for a while only.")
    return cast("EventRow", {**row, "duplicate_count": _repeats(session, [event_id]).get(event_id, 0)})


def _repeats(session: Session, event_ids: list[int]) -> dict[int, int]:
    """How often the same content was received again within the duplicate window, by event."""
    return {row.event_id: row.repeat_count for row in session.execute(_REPEATS, {"ids": event_ids})}


def rejected_deliveries(
    session: Session,
    *,
    cursor: str | None = None,
    limit: int = 50,
    reason: str | None = None,
    entity: str | None = None,
    source_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page[RejectedDeliveryRow]:
    """Rejected deliveries, the newest first; the start of the body is decoded as text as far as possible.

    `entity` and `source_id`: what they claim to be about. Times bound `received_at`.
    """
    table = RejectedDelivery.__table__
    statement = select(*table.columns)
    for key, value in (("reason", reason), ("entity", entity), ("source_id", source_id)):
        if value is not None:
            statement = statement.where(table.c[key] == value)
    if since is not None:
        statement = statement.where(table.c.received_at >= since)
    if until is not None:
        statement = statement.where(table.c.received_at < until)
    page = read_page(session, statement, keys=[table.c.id], cursor=cursor, limit=limit)
    for row in page.items:
        row["body_start"] = bytes(row["body_start"]).decode("utf-8", "replace")
    return page


_RECEIVED = text("""
select grouping(entity) = 0 as of_entity, entity, coalesce(verdict, 'open') as verdict, count(*) as received_count,
       max(received_at) as last_received_at,
       count(*) filter (where received_at > now() - interval '1 hour') as received_last_hour_count,
       count(*) filter (where verdict is null) as open_count,
       count(*) filter (where verdict = 'quarantined') as quarantined_count,
       min(received_at) filter (where verdict is null) as oldest_open_at
from tds_inbox_events where received_at > now() - interval '24 hours'
group by grouping sets ((entity), (verdict)) order by entity, verdict
""")
_DUPLICATES = text("""
select coalesce(sum(duplicate_count), 0) from tds_inbox_fingerprints where seen_at > now() - interval '24 hours'
""")
_REJECTED = text("""
select reason, count(*) as count, max(received_at) as last_received_at from tds_rejected_deliveries
where received_at > now() - interval '24 hours' group by reason order by reason
""")
_UNSTORED = text("""
select reason, sum(webhook_count)::bigint as count, min(first_at) as first_at, max(last_at) as last_at
from tds_unstored_webhooks where minute > now() - interval '24 hours' group by reason order by reason
""")


def reception_health(session: Session) -> ReceptionHealth:
    """Reception in the last 24 hours: by entity, by verdict, duplicates, unstored (503) and rejected webhooks."""
    counts = [dict(row) for row in session.execute(_RECEIVED).mappings()]
    entities = [row for row in counts if row.pop("of_entity")]
    received = [row["last_received_at"] for row in entities]
    summary = {
        "hours": 24,
        "last_received_at": max(received, default=None),
        "received_count": sum(row["received_count"] for row in entities),
        "duplicate_count": session.execute(_DUPLICATES).scalar_one(),
        "by_entity": [{name: value for name, value in row.items() if name != "verdict"} for row in entities],
        "by_verdict": {row["verdict"]: row["received_count"] for row in counts if row not in entities},
        "unstored": [dict(row) for row in session.execute(_UNSTORED).mappings()],
        "rejected": [dict(row) for row in session.execute(_REJECTED).mappings()],
    }
    return cast("ReceptionHealth", summary)
