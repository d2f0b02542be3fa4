"""Queries of the queue: live work items, their statistics by entity, and the figures of the health summary."""

from datetime import datetime
from typing import TypedDict, cast

from sqlalchemy import BigInteger, DateTime, Float, Integer, Text, bindparam, column, func, select, table, text
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


class QueueSample(TypedDict):
    """A figure of the queue that was stored when it changed; it holds until the next. None: nothing to see."""

    at: datetime
    value: float | None


class QueueHistory(TypedDict):
    """The stored figures of the queue since a moment. `depth`: items that wait; `lag_seconds`: age of the oldest."""

    since: datetime
    depth: list[QueueSample]
    lag_seconds: list[QueueSample]


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
    **filters: str | None,
) -> Page[QueuedItem]:
    """Live work items, the newest first. `filters`: entity, source_id and state, which is due, waiting or leased."""
    statement = select(*_QUEUE.columns)
    for name, value in filters.items():
        if value is not None:
            statement = statement.where(_QUEUE.c[name] == value)
    return read_page(session, statement, keys=[_QUEUE.c.id], cursor=cursor, limit=limit)


_QUEUE_STATS = text("select * from tds_get_queue_stats()")
_SUMMARY = text("select name, value from tds_get_health_summary()")


def queue_stats(session: Session) -> list[EntityQueueStats]:
    """Due, waiting and leased items and the age of the oldest due one, by entity."""
    return cast("list[EntityQueueStats]", [dict(row) for row in session.execute(_QUEUE_STATS).mappings()])


def health_figures(session: Session) -> HealthFigures:
    """Queue depth, age of the oldest due item, dead letters, events without verdict and open runs."""
    return cast("HealthFigures", {row.name: row.value for row in session.execute(_SUMMARY)})


#: The rules of alerts that measure the queue, by the figure they store.
_MEASURED = {"depth": "backlog", "lag_seconds": "sync_lag"}
_SAMPLES = text("""
select at, value from (
    (select :since as at, value from tds_metrics where name = :name and subject = '' and at < :since
     order by tds_metrics.at desc limit 1)
    union all
    (select at, value from tds_metrics where name = :name and subject = '' and at >= :since
     order by tds_metrics.at desc limit :most)
) as samples order by at
""").bindparams(bindparam("since", type_=DateTime(timezone=True)))
MOST_SAMPLES = 5_000


def history(session: Session, *, hours: int = 24) -> QueueHistory:
    """How many items waited, and how old the oldest due one was, over the last `hours`, as measured for alerts."""
    minute = func.date_trunc("minute", func.now())
    since = session.execute(select(minute - func.make_interval(0, 0, 0, 0, hours))).scalar_one()
    samples = {
        figure: [
            {"at": row.at, "value": row.value}
            for row in session.execute(_SAMPLES, {"name": rule, "since": since, "most": MOST_SAMPLES})
        ]
        for figure, rule in _MEASURED.items()
    }
    return cast("QueueHistory", {"since": since, **samples})
