"""Rules about the processes of TDS: Redis, the dispatcher, Beat with its timetable, and health as a whole."""

from collections.abc import Iterator, Sequence

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.rules.causes import PROCESS_CAUSES, SOURCE_CAUSES
from tds_core.alerts.rules.phrases import counted, named
from tds_core.alerts.text_formatting import span
from tds_core.errors import ConfigError
from tds_core.schedule.slots import next_slot
from tds_models.alerts import AlertSeverity

# A process that was just started has had no time to show that it is there.
STARTS_SECONDS = 10.0
# Celery ends a task after 150 s, so after this a worker whose slots were all busy has had one free.
BUSY_SECONDS = 180.0
# A job that runs more often than this may fail once or twice: its next slot mends that.
OFTEN_SECONDS, IN_A_ROW = 600.0, 3


def redis_away(facts: AlertFacts) -> Iterator[RuleValue]:
    """1 while Redis does not answer."""
    if not facts.redis_answers:
        yield RuleValue(value=1, says="Redis does not answer: workers get no messages, so syncs wait; nothing is lost.")


def dispatcher_silence(facts: AlertFacts) -> Iterator[RuleValue]:
    """Seconds since the dispatcher last showed itself; nothing before it ever did."""
    silent = facts.health["dispatcher_silent_seconds"]
    if silent is not None and silent > STARTS_SECONDS:
        yield RuleValue(
            value=round(facts.watched(silent)), says=f"The dispatcher has shown no sign of life for {span(silent)}."
        )


def beat_silence(facts: AlertFacts) -> Iterator[RuleValue]:
    """Seconds since a worker last carried out a tick of Beat, while one had a slot free for it."""
    silent = facts.health["beat_silent_seconds"]
    if silent is None or silent <= STARTS_SECONDS:
        return
    if silent > BUSY_SECONDS or any(worker["is_living"] and worker["is_free"] for worker in facts.workers):
        yield RuleValue(
            value=round(facts.watched(silent)), says=f"No tick of Beat has arrived for {span(silent)}: no job is begun."
        )


def overdue_slots(facts: AlertFacts) -> Iterator[RuleValue]:
    """Seconds for which the slot longest due has waited for a process to take it."""
    late = facts.health["overdue_slots"]
    if late:
        jobs = sorted(late, key=lambda job: -late[job])
        says = f"{counted(len(jobs), 'job')} of the timetable are due and no process takes them: {named(jobs)},"
        yield RuleValue(
            value=round(facts.watched(late[jobs[0]])),
            says=f"{says} the first for {span(late[jobs[0]])}.",
            detail={"jobs": {job: round(late[job]) for job in jobs}},
        )


_SLOTS = """
select j.name, j.cron, s.newest_at, s.results from tds_scheduled_jobs j cross join lateral (
    select max(slot_at) as newest_at, array_agg(result order by slot_at desc) as results from (
        select slot_at, result from tds_schedule_slots s
        where s.job = j.name and s.ended_at is not null and s.result <> 'skipped'
        order by slot_at desc limit 5) as each) as s
where j.paused_at is null and s.results[1] in ('failed', 'lost') order by j.name
"""


def failed_slots(facts: AlertFacts) -> Iterator[RuleValue]:
    """By job, how many of its newest slots failed in a row, or lost the process that ran them."""
    for row in facts.rows(_SLOTS):
        count = _in_a_row(row["results"])
        if count < IN_A_ROW and _is_often(row["cron"], row["newest_at"]):
            continue
        yield RuleValue(
            value=count,
            says=f"The job {row['name']} ended badly {counted(count, 'time')} in a row.",
            subject=row["name"],
            detail={"result": row["results"][0], "slot_at": row["newest_at"]},
        )


def _in_a_row(results: Sequence[str]) -> int:
    """How many of the newest slots ended badly."""
    return next((number for number, result in enumerate(results) if result == "completed"), len(results))


def _is_often(rhythm: str, slot_at: object) -> bool:
    """Whether a job runs often; one whose rhythm cannot be read does not run at all."""
    try:
        first = next_slot(rhythm, slot_at)  # type: ignore[arg-type]
        return (next_slot(rhythm, first) - first).total_seconds() <= OFTEN_SECONDS
    except ConfigError:
        return False


def health_below(facts: AlertFacts) -> Iterator[RuleValue]:
    """The score of health; nothing before TDS ever ran."""
    if facts.health["dispatcher_silent_seconds"] is not None:
        yield RuleValue(value=facts.health_score, says=f"Health is {facts.health_score} of 100.")


RULES = (
    Rule(
        name="database_lost",
        title="PostgreSQL cannot be reached",
        severity=AlertSeverity.CRITICAL,
        measure=None,
        threshold=0,
        unit="state",
        cause="PostgreSQL was stopped, its disk is full, or the network between it and TDS is cut.",
        automatic="Webhooks are answered 503, and work stops where it is; all of it goes on when the database is back.",
        command="tds doctor",
        for_seconds=60,
        expression="min(tds_database_up) <= {threshold}",
    ),
    Rule(
        name="api_down",
        title="No API process answers",
        severity=AlertSeverity.CRITICAL,
        measure=None,
        threshold=0,
        unit="state",
        cause="The API was stopped, cannot start, or Prometheus cannot reach it.",
        automatic="What webhooks would have told comes with the next incremental sync.",
        command="tds doctor",
        for_seconds=120,
        expression='(sum(up{job="tds-api"}) or vector(0)) <= {threshold}',
    ),
    Rule(
        name="redis_lost",
        title="Redis does not answer",
        severity=AlertSeverity.CRITICAL,
        measure=redis_away,
        threshold=0,
        unit="state",
        cause="Redis was stopped, is out of memory, or the network between it and TDS is cut.",
        automatic="Work stays in PostgreSQL and goes on when Redis is back; until then each process counts alone.",
        command="tds doctor",
        for_seconds=15,
        expression='max(tds_component_state{component="redis",state="warning"}) > {threshold}',
    ),
    Rule(
        name="dispatcher_silent",
        title="The dispatcher is silent",
        severity=AlertSeverity.CRITICAL,
        measure=dispatcher_silence,
        threshold=15,
        unit="seconds",
        cause="The dispatcher was killed or hangs, and nothing started it again.",
        automatic="Webhooks are taken and announced as ever; leases of dead workers and retries wait.",
        command="tds health",
        for_seconds=15,
        muted_by=("database_lost",),
        expression='max(tds_pulse_silent_seconds{pulse="dispatcher"}) > {threshold}',
    ),
    Rule(
        name="beat_silent",
        title="Beat is silent",
        severity=AlertSeverity.CRITICAL,
        measure=beat_silence,
        threshold=30,
        unit="seconds",
        cause="Beat was killed or hangs, and nothing started it again; or no worker takes what it sends.",
        automatic="The dispatcher runs healing in its place; slots are caught up when Beat is back.",
        command="tds schedule list",
        for_seconds=15,
        muted_by=("redis_lost", "no_worker"),
        expression='max(tds_pulse_silent_seconds{pulse="beat"}) > 60',
    ),
    Rule(
        name="schedule_overdue",
        title="Jobs of the timetable are overdue",
        severity=AlertSeverity.CRITICAL,
        measure=overdue_slots,
        threshold=300,
        unit="seconds",
        cause="Beat does not run, or no worker takes what it sends.",
        automatic="A slot is run when a process takes it again; of several missed ones the newest.",
        command="tds schedule list",
        for_seconds=30,
        muted_by=("redis_lost", "no_worker", "beat_silent"),
        expression="max by (job) (tds_schedule_overdue_seconds) > {threshold}",
    ),
    Rule(
        name="slot_missed",
        title="A job of the timetable fails",
        severity=AlertSeverity.ERROR,
        measure=failed_slots,
        threshold=0,
        unit="slots",
        cause="The job raised an error, or its worker was killed each time.",
        automatic="The job runs again at its next slot; a slot whose process died was tried three times.",
        command="tds schedule list",
        muted_by=("redis_lost", "no_worker", "schema_outdated"),
    ),
    Rule(
        name="unhealthy",
        title="Health is low",
        severity=AlertSeverity.CRITICAL,
        measure=health_below,
        threshold=50,
        below=True,
        unit="points",
        cause="Several components are not well at once.",
        automatic="What heals by itself is looked for every five minutes.",
        command="tds health",
        for_seconds=300,
        muted_by=(
            *PROCESS_CAUSES, *SOURCE_CAUSES, "beat_silent", "schedule_overdue", "worker_silent", "no_progress",
            "backlog_critical",
        ),
        expression="max(tds_health_score) < {threshold}",
    ),
)  # fmt: skip
