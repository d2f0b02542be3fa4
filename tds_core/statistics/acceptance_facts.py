"""Facts of the scorecard of acceptance, measured from the tables over the last seven days."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.queue.items import database_clock
from tds_core.statistics import latency_histogram, uptime
from tds_core.statistics.acceptance_scorecard import (
    LATENCY_SHARE,
    P95_SECONDS,
    UNDECIDED_HOURS,
    WINDOW_DAYS,
    AcceptanceFacts,
    ComparedEntity,
    Scorecard,
    decide,
)
from tds_core.statistics.activity import total
from tds_core.statistics.history import installed_at
from tds_core.statistics.local_time import hour_begins
from tds_core.statistics.manual_interventions import interventions
from tds_core.statistics.source_counts import latest_reports
from tds_core.statistics.sync_performance import recent_activity, success_rate

# One letter more when it died, one less when it was resolved; before the span some were open already.
_DEAD_LETTERS = text("""
with letters as (
    select dead_at, resolved_at from tds_dead_letter_queue where resolved_at is null
    union all select dead_at, resolved_at from tds_dead_letter_queue where resolved_at >= :since
), steps as (
    select greatest(dead_at, :since) as at, 1 as step from letters
    union all select resolved_at, -1 from letters where resolved_at is not null
), depths as (
    select sum(step) over (order by at, step rows unbounded preceding) as depth from steps
)
select coalesce((select max(depth) from depths), 0) as most_count,
    (select count(*) from letters where resolved_at is null) as open_count
""")
# Being retried is a decision; being assigned to somebody is none yet.
_UNDECIDED = text("""
select count(*) as undecided_count, min(dead_at) as oldest_at from tds_dead_letter_queue d
where resolved_at is null and dead_at < now() - make_interval(hours => :hours) and not exists (
    select from tds_dead_letter_revivals r where r.letter_id = d.id and r.ended_at is null)
""")


def scorecard(session: Session, *, zone: str) -> Scorecard:
    """The scorecard as of now."""
    return decide(acceptance_facts(session, zone=zone))


def acceptance_facts(session: Session, *, zone: str) -> AcceptanceFacts:
    """What the scorecard is decided from."""
    now = database_clock(session)
    since = now - timedelta(days=WINDOW_DAYS)
    installed = installed_at(session)
    return AcceptanceFacts(
        now=now,
        seen_days=_days(installed, now),
        **_work(session, now=now, since=hour_begins(since, zone), zone=zone),
        **_dead_letters(session, since),
        **_interventions(session, since),
        compared=[
            ComparedEntity(report["entity"], report["match_percent"], report["agreement"], report["compared_at"])
            for report in latest_reports(session).values()
        ],
        **_uptime(session, now=now, since=since),
    )


def _days(began_at: datetime | None, now: datetime) -> float:
    return max(0.0, (now - began_at) / timedelta(days=1)) if began_at else 0.0


def _work(session: Session, *, now: datetime, since: datetime, zone: str) -> Mapping[str, Any]:
    within, counted_since = recent_activity(session, now=now, zone=zone).within(since)
    activity = total(within.values())
    rate = success_rate(f"{WINDOW_DAYS}d", since, counted_since, activity)
    p95 = latency_histogram.percentile(activity["latency"], LATENCY_SHARE)
    return {
        "succeeded_count": rate["succeeded_count"],
        "failed_count": rate["failed_count"],
        "success_rate": rate["success_rate"],
        "event_count": sum(activity["latency"]),
        "p95_seconds": None if p95 == float("inf") else p95,
        "share_in_time": latency_histogram.share_below(activity["latency"], P95_SECONDS),
    }


def _dead_letters(session: Session, since: datetime) -> Mapping[str, Any]:
    letters = session.execute(_DEAD_LETTERS, {"since": since}).one()
    undecided = session.execute(_UNDECIDED, {"hours": UNDECIDED_HOURS}).one()
    return {
        "most_dead_letters": int(letters.most_count),
        "open_dead_letters": letters.open_count,
        "undecided_count": undecided.undecided_count,
        "oldest_undecided_at": undecided.oldest_at,
    }


def _interventions(session: Session, since: datetime) -> Mapping[str, Any]:
    found = interventions(session, since=since)
    last = None
    if found["last_at"] is not None:
        subject = f" {found['last_subject']}" if found["last_subject"] else ""
        last = f"{found['last_operation']}{subject} by {found['last_caller']} at {_moment(found['last_at'])}"
    return {"intervention_count": found["action_count"], "last_intervention": last}


def _uptime(session: Session, *, now: datetime, since: datetime) -> Mapping[str, Any]:
    first = uptime.first_sample_at(session)
    if first is None:
        return {"sampled_days": 0.0, "uptime_share": None, "down_seconds": 0.0, "longest_gap": None}
    found = uptime.measure_uptime(session, since=max(first, since), until=now)
    gap = None
    if found.gap_began_at is not None and found.gap_ended_at is not None:
        gap = f"from {_moment(found.gap_began_at)} to {_moment(found.gap_ended_at)}"
    return {
        "sampled_days": _days(first, now),
        "uptime_share": found.share,
        "down_seconds": max(0.0, found.seconds - found.up_seconds),
        "longest_gap": gap,
    }


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
