"""Uptime: a sample each minute of whether TDS made progress, and the share of a span that the samples vouch for."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.health.health import HealthFacts, HealthState, components, health_facts

#: A sample vouches for so long after it, at most; samples are a minute apart, give or take a tick of Beat.
VOUCHED_SECONDS = 90.0
#: The components without which TDS does not do its work. That Zoho is away, or refuses us, is not TDS being down.
NEEDED = ("dispatcher", "timetable", "workers", "listening")
#: A webhook that met a 503 so lately makes a sample one of being down.
UNSTORED_SECONDS = 60.0

_SAMPLE = text("""
insert into tds_uptime_samples (sampled_at, is_up, reason) values (clock_timestamp(), :is_up, :reason)
on conflict do nothing
""")
# The last sample before the span still vouches for its beginning.
_UPTIME = text("""
with samples as (
    select sampled_at, is_up, lead(sampled_at, 1, :until) over (order by sampled_at) as next_at
    from tds_uptime_samples
    where sampled_at >= cast(:since as timestamptz) - make_interval(secs => :vouched) and sampled_at < :until
), vouched as (
    select greatest(sampled_at, :since) as began_at,
        least(next_at, sampled_at + make_interval(secs => :vouched), :until) as ended_at
    from samples where is_up
)
select coalesce(sum(extract(epoch from ended_at - began_at)) filter (where ended_at > began_at), 0)::float8
from vouched
""")
_FIRST = text("select min(sampled_at) from tds_uptime_samples")
_LONGEST_GAP = text("""
with samples as (
    select sampled_at from tds_uptime_samples where is_up and sampled_at >= :since and sampled_at < :until
    union all select cast(:since as timestamptz) union all select cast(:until as timestamptz)
)
select sampled_at as began_at, next_at as ended_at from (
    select sampled_at, lead(sampled_at) over (order by sampled_at) as next_at from samples) as each
where next_at - sampled_at > make_interval(secs => :vouched) order by next_at - sampled_at desc limit 1
""")


@dataclass(frozen=True, slots=True)
class Uptime:
    """How long TDS was up within a span. `gap_began_at`, `gap_ended_at`: its longest time down, None without one."""

    seconds: float
    up_seconds: float
    gap_began_at: datetime | None
    gap_ended_at: datetime | None

    @property
    def share(self) -> float | None:
        """From 0 to 1; None for an empty span."""
        return min(1.0, self.up_seconds / self.seconds) if self.seconds > 0 else None


def standstill(facts: HealthFacts) -> str | None:
    """What keeps TDS from doing its work, in words; None while it does."""
    stopped = [
        f"{each.name}: {each.says}"
        for each in components(facts)
        if each.name in NEEDED and each.state is HealthState.CRITICAL
    ]
    unstored = facts["unstored"]
    if unstored and unstored["ago_seconds"] <= UNSTORED_SECONDS:
        stopped.append(f"reception: webhooks met a 503 ({unstored['reasons']})")
    return "; ".join(stopped) or None


def record_sample(session: Session) -> bool:
    """Store whether TDS makes progress now, and return it."""
    reason = standstill(health_facts(session))
    session.execute(_SAMPLE, {"is_up": reason is None, "reason": reason[:500] if reason else None})
    return reason is None


def up_seconds(session: Session, *, since: datetime, until: datetime) -> float:
    """For how many seconds of a span its samples vouch."""
    params = {"since": since, "until": until, "vouched": VOUCHED_SECONDS}
    return float(session.execute(_UPTIME, params).scalar_one())


def measure_uptime(session: Session, *, since: datetime, until: datetime) -> Uptime:
    """The uptime within a span; what no sample vouches for counts as down."""
    gap = session.execute(_LONGEST_GAP, {"since": since, "until": until, "vouched": VOUCHED_SECONDS}).first()
    return Uptime(
        seconds=(until - since).total_seconds(),
        up_seconds=up_seconds(session, since=since, until=until),
        gap_began_at=gap.began_at if gap else None,
        gap_ended_at=gap.ended_at if gap else None,
    )


def first_sample_at(session: Session) -> datetime | None:
    """When TDS was first sampled."""
    found: datetime | None = session.execute(_FIRST).scalar()
    return found
