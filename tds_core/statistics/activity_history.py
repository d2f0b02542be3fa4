"""The history of the work: what was stored of each hour or day of a span, of one entity or of all together."""

from datetime import datetime
from typing import TypedDict

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.queue.items import database_clock
from tds_core.statistics.activity import Activity, total
from tds_core.statistics.history import grain_of
from tds_core.statistics.local_time import day_begins, local_days
from tds_core.statistics.sync_performance import latency_figures, success_rate

_STORED = text("""
select began_at, activity::text as activity from tds_statistics_history
where grain = :grain and began_at >= :since and activity is not null
  and (cast(:entity as text) is null or entity = :entity)
order by began_at
""")


class ActivityOfSpan(TypedDict):
    """What happened in one hour or day. `p95_seconds`: from webhook to row; None: none came, or over an hour."""

    began_at: datetime
    webhook_count: int
    rejected_count: int
    succeeded_count: int
    failed_count: int
    retried_count: int
    changed_count: int
    listed_count: int
    run_count: int
    failed_run_count: int
    success_rate: float | None
    p95_seconds: float | None


class ActivityHistory(TypedDict):
    """The activity of a span, oldest first; `grain`: hour or day. Hours in which nothing was counted are left out."""

    time_zone: str
    days: int
    entity: str | None
    grain: str
    items: list[ActivityOfSpan]


def activity_history(session: Session, *, days: int, zone: str, entity: str | None = None) -> ActivityHistory:
    """The activity of the last `days` days, today included, of `entity` or of all. Raises InvalidSpanError."""
    first = local_days(database_clock(session), days, zone)[0]
    grain = grain_of(days)
    by_span: dict[datetime, list[Activity]] = {}
    given = {"grain": grain.value, "since": day_begins(first, zone), "entity": entity}
    for row in session.execute(_STORED, given):
        by_span.setdefault(row.began_at, []).append(msgspec.json.decode(row.activity, type=Activity))
    spans = [_of_span(began_at, total(every)) for began_at, every in by_span.items()]
    return ActivityHistory(time_zone=zone, days=days, entity=entity, grain=grain.value, items=spans)


def _of_span(began_at: datetime, activity: Activity) -> ActivityOfSpan:
    rate = success_rate("", began_at, began_at, activity)
    return ActivityOfSpan(
        began_at=began_at, webhook_count=activity["webhook_count"], rejected_count=activity["rejected_count"],
        succeeded_count=rate["succeeded_count"], failed_count=rate["failed_count"],
        retried_count=rate["retried_count"], changed_count=activity["changed_count"],
        listed_count=activity["listed_count"], run_count=activity["run_count"],
        failed_run_count=activity["failed_run_count"], success_rate=rate["success_rate"],
        p95_seconds=latency_figures("", [activity])["p95_seconds"],
    )  # fmt: skip
