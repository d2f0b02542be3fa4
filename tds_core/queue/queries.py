"""Queries of the queue: live work items, their statistics by entity, and the figures of the health summary."""

from typing import Any

from sqlalchemy import BigInteger, DateTime, Float, Integer, Text, column, select, table, text
from sqlalchemy.orm import Session

from tds_core.pagination import Page, Row, read_page

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
) -> Page:
    """Live work items, the newest first; `state` is due, waiting or leased."""
    statement = select(*_QUEUE.columns)
    if entity is not None:
        statement = statement.where(_QUEUE.c.entity == entity)
    if state is not None:
        statement = statement.where(_QUEUE.c.state == state)
    return read_page(session, statement, keys=[_QUEUE.c.id], cursor=cursor, limit=limit)


_QUEUE_STATS = text("select * from tds_get_queue_stats()")
_SUMMARY = text("select name, value from tds_get_health_summary()")


def queue_stats(session: Session) -> list[Row]:
    """Due, waiting and leased items and the age of the oldest due one, by entity."""
    return [dict(row) for row in session.execute(_QUEUE_STATS).mappings()]


def health_figures(session: Session) -> dict[str, Any]:
    """Queue depth, age of the oldest due item, dead letters, events without verdict and open runs, by name."""
    return {row.name: row.value for row in session.execute(_SUMMARY)}
