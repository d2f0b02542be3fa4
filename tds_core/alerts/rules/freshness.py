"""Rules about freshness: how long work waits, whether every entity is read in time, and the objective for events."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.rules.causes import PARTIAL_CAUSES, PROCESS_CAUSES, SLOWING_CAUSES
from tds_core.alerts.rules.phrases import counted
from tds_core.alerts.text_formatting import span
from tds_core.errors import ConfigError
from tds_core.schedule.slots import latest_slot
from tds_core.statistics import freshness
from tds_models.alerts import AlertSeverity
from tds_models.entities import ENTITIES

LEAST_LAG_SECONDS = 60.0
#: More slots that went by are not counted.
MOST_SLOTS = 12
#: The objective: this share of events are rows within so many seconds.
WITHIN_SECONDS, OBJECTIVE = 10.0, 0.99
#: Fewer events in an hour, or late ones in five minutes, say nothing.
LEAST_EVENTS, LEAST_LATE = 20, 3
#: Without an event for so long none was late in five minutes.
RECENT = timedelta(minutes=5)
#: So many of the newest events of an hour are looked at.
MOST_EVENTS = 20_000


def lag_seconds(facts: AlertFacts) -> Iterator[RuleValue]:
    """Seconds for which the work longest due has waited, without bulk work and without paused entities."""
    oldest = facts.health["oldest_due_seconds"] or 0.0
    if oldest > LEAST_LAG_SECONDS:
        yield RuleValue(value=round(oldest), says=f"The oldest work has been due for {span(oldest)}.")


_JOBS = """
select cron, arguments -> 'entities' as entities from tds_scheduled_jobs
where task = 'runs' and paused_at is null and arguments ->> 'mode' in ('full', 'incremental')
"""


def missed_reads(facts: AlertFacts) -> Iterator[RuleValue]:
    """By entity, how many of its scheduled reads went by since the one that is the last to have been completed."""
    with facts.scope() as session:
        ages = freshness.freshness_seconds(session)
    slots = _slots_by_entity(facts) if ages else {}
    for entity, age in ages.items():
        if entity in facts.unread_entities:
            continue
        began_at = facts.now - timedelta(seconds=age)
        count = sum(slot > began_at for slot in slots.get(entity, ()))
        if count > 1:
            title = ENTITIES[entity].title
            says = f"{title} were last read {span(age)} ago; {counted(count, 'read')} that were due since did not end."
            yield RuleValue(value=min(count, MOST_SLOTS), says=says, subject=entity, detail={"age_seconds": round(age)})


def _slots_by_entity(facts: AlertFacts) -> Mapping[str, set[datetime]]:
    """By entity, the latest slots of the jobs that read it."""
    found: dict[str, set[datetime]] = {}
    for job in facts.rows(_JOBS):
        slots = set(islice(_slots_before(job["cron"], facts.now), MOST_SLOTS))
        for entity in job["entities"] or ENTITIES:
            found.setdefault(entity, set()).update(slots)
    return found


def _slots_before(rhythm: str, moment: datetime) -> Iterator[datetime]:
    """The slots of a schedule before `moment`, the latest first; none of one that cannot be read."""
    try:
        slot = latest_slot(rhythm, moment)
        while slot is not None:
            yield slot
            slot = latest_slot(rhythm, slot - timedelta(seconds=1))
    except ConfigError:
        return


# An event that has no verdict yet has at least waited until now.
_EVENTS = """
select count(*) as event_count, count(*) filter (where is_late) as late_count,
    count(*) filter (where is_new) as new_count, count(*) filter (where is_new and is_late) as new_late_count
from (select received_at > now() - interval '5 minutes' as is_new, coalesce(verdict, '') <> 'quarantined'
          and coalesce(verdict_at, clock_timestamp()) - received_at > make_interval(secs => :within) as is_late
      from tds_inbox_events where received_at > now() - interval '1 hour' order by received_at desc limit :most) as each
"""


def late_share(facts: AlertFacts) -> Iterator[RuleValue]:
    """The share of events that were late, 0 to 1: of an hour or of five minutes, whichever is smaller."""
    last = facts.signs["last_received_at"]
    if last is None or facts.now - last > RECENT:
        return
    [row] = facts.rows(_EVENTS, {"within": WITHIN_SECONDS, "most": MOST_EVENTS})
    if row["event_count"] < LEAST_EVENTS or row["new_late_count"] < LEAST_LATE:
        return
    hour, lately = row["late_count"] / row["event_count"], row["new_late_count"] / row["new_count"]
    says = f"{hour:.0%} of the events of an hour and {lately:.0%} of those of five minutes took longer than"
    yield RuleValue(
        value=round(min(hour, lately), 3),
        says=f"{says} {WITHIN_SECONDS:.0f} s to become rows; the objective is {1 - OBJECTIVE:.0%} at most.",
        detail={"event_count": row["event_count"], "late_count": row["late_count"]},
    )


RULES = (
    Rule(
        name="sync_lag",
        title="Work waits too long",
        severity=AlertSeverity.WARNING,
        measure=lag_seconds,
        threshold=900,
        unit="seconds",
        cause="Workers are too few or too slow for what comes, or something keeps them from one entity.",
        automatic="Due work is announced again and again; the most urgent goes first.",
        command="tds queue",
        for_seconds=60,
        muted_by=(*PROCESS_CAUSES, *SLOWING_CAUSES, "no_progress", "backlog_critical"),
        expression="max(tds_queue_lag_seconds) > {threshold}",
    ),
    Rule(
        name="entity_stale",
        title="An entity is not read in time",
        severity=AlertSeverity.ERROR,
        measure=missed_reads,
        threshold=2,
        unit="reads",
        cause="Its runs fail, are held, or wait for quota; or the timetable does not run.",
        automatic="Webhooks bring changes all the same; the next read that ends brings what they left out.",
        command="tds runs list",
        for_seconds=1800,
        muted_by=(*PROCESS_CAUSES, *PARTIAL_CAUSES, "beat_silent", "schedule_overdue"),
        expression="max by (entity) (tds_mirror_age_seconds) > 4 * 3600",
    ),
    Rule(
        name="freshness_missed",
        title="Events become rows too slowly",
        severity=AlertSeverity.WARNING,
        measure=late_share,
        threshold=0.1,
        unit="ratio",
        cause="Workers are too few or too slow for what comes, or the source is slow to answer.",
        automatic="The most urgent goes first; a complete webhook is applied without asking Zoho.",
        command="tds stats",
        muted_by=(
            *PROCESS_CAUSES, *SLOWING_CAUSES, "no_progress", "backlog", "backlog_critical", "sync_lag", "queue_paused",
        ),
        expression="(1 - tds:freshness_within_10s:ratio_1h) > {threshold} and"
        " (1 - tds:freshness_within_10s:ratio_5m) > {threshold}"
        " and sum(increase(tds_freshness_seconds_count[1h])) >= 20",
    ),
)  # fmt: skip
