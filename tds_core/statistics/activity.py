"""What happened in an hour, by entity: webhooks and their latency, attempts and how they ended, changes, passes."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict, cast

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.statistics.latency_histogram import BOUNDS, added
from tds_models.entities import ENTITIES

#: In place of an entity: what is of none, such as refused deliveries.
INSTALLATION: Final = "installation"
HOUR: Final = timedelta(hours=1)

COUNTS: Final = (
    "webhook_count", "quarantined_count", "succeeded_count", "dead_count", "retried_count", "crashed_count",
    "snoozed_count", "changed_count", "listed_count", "run_count", "failed_run_count", "rejected_count",
    "unstored_count", "up_seconds",
)  # fmt: skip


class Activity(TypedDict):
    """Counts of one span. `succeeded_count`: attempts that brought a record to its row; `dead_count`: given up.

    `retried_count`, `crashed_count` and `snoozed_count`: attempts that are made again. `listed_count`: records that
    the passes which ended then had read. `up_seconds`: of the installation alone. `latency`: see `latency.BOUNDS`.
    """

    webhook_count: int
    quarantined_count: int
    succeeded_count: int
    dead_count: int
    retried_count: int
    crashed_count: int
    snoozed_count: int
    changed_count: int
    listed_count: int
    run_count: int
    failed_run_count: int
    rejected_count: int
    unstored_count: int
    up_seconds: float
    latency: list[int]


# An hour is the number of whole hours since :since. An event without a verdict has at least waited until now; one
# whose record was given up never came to its row; one that could not be read has none.
_COUNT = text(f"""
with events as (
    select floor(extract(epoch from received_at - :since) / 3600)::int as hour, coalesce(entity, :installation)
            as entity, coalesce(verdict, '') as verdict,
        case when verdict = 'dead_lettered' then 1e9
             else extract(epoch from coalesce(verdict_at, clock_timestamp()) - received_at) end as seconds
    from tds_inbox_events where received_at >= :since and received_at < :until
), bucketed as (
    select hour, entity, width_bucket(seconds::float8, array{list(BOUNDS)}::float8[]) as bucket,
        count(*) as event_count, count(*) filter (where verdict = 'quarantined') as quarantined_count
    from events group by 1, 2, 3
), parts as (
    select hour, entity, jsonb_build_object('webhook_count', sum(event_count),
        'quarantined_count', sum(quarantined_count),
        'latency', jsonb_object_agg(bucket, event_count - quarantined_count)) as part
    from bucketed group by 1, 2
    union all
    select floor(extract(epoch from ended_at - :since) / 3600)::int, entity, jsonb_build_object(
        'succeeded_count', count(*) filter (where outcome not in ('retry', 'snooze', 'dead', 'crashed')),
        'dead_count', count(*) filter (where outcome = 'dead'),
        'retried_count', count(*) filter (where outcome = 'retry'),
        'crashed_count', count(*) filter (where outcome = 'crashed'),
        'snoozed_count', count(*) filter (where outcome = 'snooze'))
    from tds_sync_logs where ended_at >= :since and ended_at < :until group by 1, 2
    union all
    select floor(extract(epoch from recorded_at - :since) / 3600)::int, entity,
        jsonb_build_object('changed_count', count(*))
    from tds_audit_trail where recorded_at >= :since and recorded_at < :until group by 1, 2
    union all
    select floor(extract(epoch from ended_at - :since) / 3600)::int, entity, jsonb_build_object(
        'listed_count', sum(fetched_count) filter (where state = 'completed'), 'run_count', count(*),
        'failed_run_count', count(*) filter (where state = 'failed'))
    from tds_sync_runs
    where ended_at >= :since and ended_at < :until and mode in ('full', 'incremental') group by 1, 2
    union all
    select floor(extract(epoch from received_at - :since) / 3600)::int, :installation,
        jsonb_build_object('rejected_count', count(*))
    from tds_rejected_deliveries where received_at >= :since and received_at < :until group by 1
    union all
    select floor(extract(epoch from minute - :since) / 3600)::int, :installation,
        jsonb_build_object('unstored_count', sum(webhook_count))
    from tds_unstored_webhooks where minute >= :since and minute < :until group by 1
)
select hour, entity, jsonb_agg(part)::text as parts from parts group by hour, entity
""")


def nothing() -> Activity:
    """A span in which nothing happened."""
    return cast("Activity", {**dict.fromkeys(COUNTS, 0), "latency": [0] * (len(BOUNDS) + 1)})


def total(activities: Iterable[Activity]) -> Activity:
    """Several activities as one."""
    every: list[Mapping[str, Any]] = [*activities]
    counts = {name: sum(each[name] for each in every) for name in COUNTS}
    return cast("Activity", {**counts, "latency": added(each["latency"] for each in every)})


def count_hours(session: Session, *, since: datetime, until: datetime) -> dict[datetime, dict[str, Activity]]:
    """What happened in each hour from `since`, the begin of one, to `until`, by hour and then by entity.

    Every hour and every entity is there, also where nothing happened. What is left over after the last whole hour is
    an hour of its own.
    """
    whole, rest = divmod(until - since, HOUR)
    names = (*ENTITIES, INSTALLATION)
    hours = {since + number * HOUR: {name: nothing() for name in names} for number in range(whole + bool(rest))}
    params = {"since": since, "until": until, "installation": INSTALLATION}
    for row in session.execute(_COUNT, params):
        found = hours[since + row.hour * HOUR].setdefault(row.entity, nothing())
        for part in msgspec.json.decode(row.parts):
            _add(found, part)
    return hours


def count_span(session: Session, *, since: datetime, until: datetime) -> dict[str, Activity]:
    """What happened from `since` to `until`, by entity."""
    hours = count_hours(session, since=since, until=until).values()
    names = {name for hour in hours for name in hour} or {*ENTITIES, INSTALLATION}
    return {name: total(hour[name] for hour in hours if name in hour) for name in names}


def _add(activity: Activity, part: Mapping[str, Any]) -> None:
    for name, value in part.items():
        if name == "latency":
            for bucket, event_count in value.items():
                activity["latency"][int(bucket)] += event_count
        else:
            activity[name] += value or 0  # type: ignore[literal-required]
