"""Queries of the queue: live work items, their statistics by entity, and the figures of the health summary."""

from datetime import datetime
from typing import TypedDict, cast

from sqlalchemy import BigInteger, DateTime, Float, Integer, Text, column, select, table, text
from sqlalchemy.orm import Session

from tds_core.pagination import Page, read_page


class QueuedItem(TypedDict):
    """A live work item. `state`: due, waiting or leased; `age_seconds`: since it was enqueued."""

    id: int
    source: str
    entity: str
    source_id: str
    priority: int
    attempts: int
    snoozes: int
    crashes: int
    next_attempt_at: datetime
    leased_by: str | None
    leased_until: datetime | None
    state: str
    age_seconds: float
    last_error: str | None
    correlation_id: str


class EntityQueueStats(TypedDict):
    """The work items of an entity by state. `oldest_due_seconds`: how long the oldest has been due, 0 for none."""

    entity: str
    due_count: int
    waiting_count: int
    leased_count: int
    oldest_due_seconds: float


class HealthFigures(TypedDict):
    """The figures of `tds_get_health_summary()`: counts, and the age of the oldest due item in seconds."""

    queue_depth: float
    oldest_due_seconds: float
    dead_letters: float
    events_without_verdict: float
    open_runs: float


_QUEUE = table(
    "tds_v_active_queue",
    column("id", BigInteger),
    column("source", Text),
    column("entity", Text),
    column("source_id", Text),
    column("priority", Integer),
    column("attempts", Integer),
    column("snoozes", Integer),
    column("crashes", Integer),
    column("next_attempt_at", DateTime(timezone=True)),
    column("leased_by", Text),
    column("leased_until", DateTime(timezone=True)),
    column("state", Text),
    column("age_seconds", Float),
    column("last_error", Text),
    column("correlation_id", Text),
)


def queue(
    session: Session,
    *,
    cursor: str | None = None,
    limit: int = 50,
    entity: str | None = None,
    state: str | None = None,
) -> Page[QueuedItem]:
    """Live work items, the newest first; `state` is due, waiting or leased."""
    statement = select(*_QUEUE.columns)
    if entity is not None:
        statement = statement.where(_QUEUE.c.entity == entity)
    if state is not None:
        statement = statement.where(_QUEUE.c.state == state)
    return read_page(session, statement, keys=[_QUEUE.c.id], cursor=cursor, limit=limit)


_QUEUE_STATS = text("select * from tds_get_queue_stats()")
_SUMMARY = text("select name, value from tds_get_health_summary()")


def queue_stats(session: Session) -> list[EntityQueueStats]:
    """Due, waiting and leased items and the age of the oldest due one, by entity."""
    return cast("list[EntityQueueStats]", [dict(row) for row in session.execute(_QUEUE_STATS).mappings()])


def health_figures(session: Session) -> HealthFigures:
    """Queue depth, age of the oldest due item, dead letters, events without verdict and open runs."""
    return cast("HealthFigures", {row.name: row.value for row in session.execute(_SUMMARY)})
