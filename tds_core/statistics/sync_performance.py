"""Business figures: what was synced today, the success rate of the last hours and days, freshness and latency."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, TypedDict

from sqlalchemy.orm import Session

from tds_core.statistics import latency_histogram
from tds_core.statistics.activity import INSTALLATION, Activity, count_span, nothing, total
from tds_core.statistics.freshness import fresh_at
from tds_core.statistics.history import counted_until, stored_activity
from tds_core.statistics.local_time import day_begins, hour_begins, local_day
from tds_models.entities import ENTITIES

WINDOWS: Final[Mapping[str, timedelta]] = {
    "1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30),
}  # fmt: skip
#: What is not stored yet is counted from the tables of events and attempts, at most so far back.
COUNTED_NOW = timedelta(hours=6)


class SuccessRate(TypedDict):
    """How much of the work that ended within a window ended well; formula: docs/statistics.md.

    The rates are from 0 to 1, None where nothing ended. `counted_since`: later than `since` where less is stored.
    """

    window: str
    since: datetime
    counted_since: datetime
    succeeded_count: int
    failed_count: int
    success_rate: float | None
    attempt_count: int
    retried_count: int
    attempt_success_rate: float | None


class LatencyFigures(TypedDict):
    """How soon webhooks came to their rows: bounds that a share of them stayed below; None without any, or above."""

    window: str
    event_count: int
    p50_seconds: float | None
    p95_seconds: float | None
    p99_seconds: float | None
    share_below_60_seconds: float | None


class EntityToday(TypedDict):
    """One entity since local midnight. `fresh_at`: every change at the source before it is known here."""

    entity: str
    webhook_count: int
    synced_count: int
    changed_count: int
    listed_count: int
    retried_count: int
    failed_count: int
    fresh_at: datetime | None
    freshness_seconds: float | None


class Today(TypedDict):
    """Since midnight of the installation's time zone: all entities together, and each."""

    day: date
    time_zone: str
    since: datetime
    webhook_count: int
    rejected_count: int
    unstored_count: int
    synced_count: int
    changed_count: int
    failed_count: int
    run_count: int
    failed_run_count: int
    entities: list[EntityToday]


@dataclass(frozen=True, slots=True)
class RecentActivity:
    """What happened lately, as it was stored, and counted now what is not stored yet."""

    session: Session
    now: datetime
    zone: str
    tail_began_at: datetime
    tail: Mapping[str, Activity]

    def within(self, since: datetime) -> tuple[dict[str, Activity], datetime]:
        """By entity, what happened since the begin of an hour; and since when that is known."""
        stored, known_since = stored_activity(self.session, since=since, until=self.tail_began_at, zone=self.zone)
        names = {*ENTITIES, INSTALLATION, *stored, *self.tail}
        both = {name: total(part[name] for part in (stored, self.tail) if name in part) for name in names}
        return both, known_since or max(since, self.tail_began_at)


def recent_activity(session: Session, *, now: datetime, zone: str) -> RecentActivity:
    """What happened lately; hours that are not stored yet are counted, back to COUNTED_NOW."""
    tail_began_at = max(counted_until(session) or hour_begins(now - COUNTED_NOW, zone), now - COUNTED_NOW)
    tail = count_span(session, since=tail_began_at, until=now)
    return RecentActivity(session, now, zone, tail_began_at, tail)


def window_begins(now: datetime, window: str, zone: str) -> datetime:
    """The begin of a window: on a full hour, except that of the last hour."""
    since = now - WINDOWS[window]
    return since if window == "1h" else hour_begins(since, zone)


def success_rates(recent: RecentActivity, windows: Iterable[str] = WINDOWS) -> list[SuccessRate]:
    """The success rates of some windows; that of the last hour is counted exactly."""
    found = []
    for window in windows:
        since = window_begins(recent.now, window, recent.zone)
        if window == "1h":
            within, counted_since = count_span(recent.session, since=since, until=recent.now), since
        else:
            within, counted_since = recent.within(since)
        found.append(success_rate(window, since, counted_since, total(within.values())))
    return found


def success_rate(window: str, since: datetime, counted_since: datetime, activity: Activity) -> SuccessRate:
    """The success rate of what ended in a window: brought to their rows, of those and the given up and unreadable."""
    succeeded, failed = activity["succeeded_count"], failures(activity)
    attempts = succeeded + activity["dead_count"] + activity["retried_count"] + activity["crashed_count"]
    return SuccessRate(
        window=window, since=since, counted_since=counted_since, succeeded_count=succeeded, failed_count=failed,
        success_rate=succeeded / (succeeded + failed) if succeeded + failed else None, attempt_count=attempts,
        retried_count=activity["retried_count"] + activity["crashed_count"],
        attempt_success_rate=succeeded / attempts if attempts else None,
    )  # fmt: skip


def failures(activity: Activity) -> int:
    """What ended as a failure: records given up, and webhooks that could not be read."""
    return activity["dead_count"] + activity["quarantined_count"]


def latency_figures(window: str, activities: Iterable[Activity]) -> LatencyFigures:
    """The latency of the webhooks of several activities."""
    histogram = latency_histogram.added(activity["latency"] for activity in activities)
    p50, p95, p99 = (_bound(histogram, share) for share in (0.5, 0.95, 0.99))
    return LatencyFigures(
        window=window,
        event_count=sum(histogram),
        p50_seconds=p50,
        p95_seconds=p95,
        p99_seconds=p99,
        share_below_60_seconds=latency_histogram.share_below(histogram, 60.0),
    )


def _bound(histogram: Sequence[int], share: float) -> float | None:
    bound = latency_histogram.percentile(histogram, share)
    return None if bound == float("inf") else bound


def today(recent: RecentActivity) -> Today:
    """The figures since local midnight."""
    day = local_day(recent.now, recent.zone)
    since = day_begins(day, recent.zone)
    within, _ = recent.within(since)
    whole = total(within.values())
    fresh = fresh_at(recent.session)
    return Today(
        day=day, time_zone=recent.zone, since=since, webhook_count=whole["webhook_count"],
        rejected_count=whole["rejected_count"], unstored_count=whole["unstored_count"],
        synced_count=whole["succeeded_count"], changed_count=whole["changed_count"], failed_count=failures(whole),
        run_count=whole["run_count"], failed_run_count=whole["failed_run_count"],
        entities=[_entity_today(name, within.get(name) or nothing(), fresh[name], recent.now) for name in ENTITIES],
    )  # fmt: skip


def _entity_today(name: str, activity: Activity, fresh_at: datetime | None, now: datetime) -> EntityToday:
    return EntityToday(
        entity=name, webhook_count=activity["webhook_count"], synced_count=activity["succeeded_count"],
        changed_count=activity["changed_count"], listed_count=activity["listed_count"],
        retried_count=activity["retried_count"] + activity["crashed_count"], failed_count=failures(activity),
        fresh_at=fresh_at, freshness_seconds=max(0.0, (now - fresh_at).total_seconds()) if fresh_at else None,
    )  # fmt: skip
