"""Freshness: for how long changes at the source may not be known here, by entity, now and over the last days."""

from datetime import datetime, timedelta
from typing import TypedDict

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.queue.items import database_clock
from tds_core.statistics.history import grain_of
from tds_core.statistics.local_time import day_begins, local_days
from tds_models.entities import ENTITIES
from tds_models.statistics import Grain

_FRESH = text("""
select e.entity, r.started_at from unnest(cast(:entities as text[])) as e(entity) left join lateral (
    select started_at from tds_sync_runs r
    where r.entity = e.entity and state = 'completed' and mode in ('full', 'incremental') and started_at is not null
    order by requested_at desc limit 1) as r on true
""")
# A pass that began more than a week before a moment makes no fresher line than none, and keeps the look back short.
_HISTORY = text("""
select e.entity, s.ended_at, extract(epoch from s.ended_at - r.started_at)::float8 as freshness_seconds
from generate_series(cast(:since as timestamptz), cast(:until as timestamptz), make_interval(secs => :step_seconds))
    as s(ended_at)
cross join unnest(cast(:entities as text[])) as e(entity)
cross join lateral (
    select started_at from tds_sync_runs r
    where r.entity = e.entity and state = 'completed' and mode in ('full', 'incremental') and ended_at <= s.ended_at
      and requested_at <= s.ended_at and requested_at > s.ended_at - interval '7 days'
    order by requested_at desc limit 1) as r
order by 1, 2
""")


class FreshnessPoint(TypedDict):
    """The freshness at one moment: since when, in seconds, changes may have been unknown."""

    ended_at: datetime
    freshness_seconds: float


class EntityFreshness(TypedDict):
    """The freshness of one entity at the end of every hour or day; moments before its first pass are left out."""

    entity: str
    points: list[FreshnessPoint]


class FreshnessHistory(TypedDict):
    """The freshness of a span, oldest first; `grain`: hour or day."""

    days: int
    grain: str
    entities: list[EntityFreshness]


def fresh_at(session: Session) -> dict[str, datetime | None]:
    """By entity, the moment before which every change at the source is known here; None: never read."""
    return {row.entity: row.started_at for row in session.execute(_FRESH, {"entities": list(ENTITIES)})}


def freshness_seconds(session: Session) -> dict[str, float]:
    """By entity, for how long changes at the source may not be known here; those never read are left out."""
    now = database_clock(session)
    return {name: (now - at).total_seconds() for name, at in fresh_at(session).items() if at is not None}


def freshness_history(session: Session, *, days: int, zone: str, entity: str | None = None) -> FreshnessHistory:
    """The freshness of `entity`, or of each, over the last `days` days. Raises InvalidSpanError."""
    now, grain = database_clock(session), grain_of(days)
    step = timedelta(hours=1) if grain is Grain.HOUR else timedelta(days=1)
    since = day_begins(local_days(now, days, zone)[0], zone) + step
    names = [entity] if entity else list(ENTITIES)
    params = {"since": since, "until": now, "step_seconds": step.total_seconds(), "entities": names}
    points: dict[str, list[FreshnessPoint]] = {}
    for row in session.execute(_HISTORY, params):
        point = FreshnessPoint(ended_at=row.ended_at, freshness_seconds=row.freshness_seconds)
        points.setdefault(row.entity, []).append(point)
    return FreshnessHistory(
        days=days,
        grain=grain.value,
        entities=[EntityFreshness(entity=name, points=its) for name, its in points.items()],
    )
