"""Rules about the queue: whether work is done, how much waits, what fails, what hangs, what is held up."""

from collections.abc import Iterator

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.rules.causes import PARTIAL_CAUSES, PROCESS_CAUSES, SLOWING_CAUSES, SOURCE_CAUSES
from tds_core.alerts.rules.phrases import counted, named
from tds_core.alerts.text_formatting import span
from tds_core.health.health import DEPTH_CRITICAL, DEPTH_WARNING
from tds_core.queue.claim import LISTS_FIRST, PAUSED
from tds_models.alerts import AlertSeverity
from tds_models.entities import ENTITIES

#: Fewer attempts, or failures of fewer records, say nothing about the rest.
LEAST_ATTEMPTS, LEAST_RECORDS = 20, 3
# A queue of so few items is none to be told of, whatever an operator sets.
LEAST_DEPTH = 100
LEAST_SECONDS = 30.0


def standstill(facts: AlertFacts) -> Iterator[RuleValue]:
    """Seconds for which work has been due without any attempt having ended."""
    due = max(facts.health["oldest_due_seconds"] or 0.0, _bulk_due_seconds(facts))
    last = facts.health["last_attempt_seconds"]
    seconds = due if last is None else min(due, last)
    if seconds > LEAST_SECONDS:
        yield RuleValue(
            value=round(facts.watched(seconds)), says=f"Work has been due for {span(seconds)}, and none was done since."
        )


def _bulk_due_seconds(facts: AlertFacts) -> float:
    """How long bulk work has been due that may be done: it waits while lists are read."""
    due = facts.health["backlog_due_seconds"] or 0.0
    if due <= LEAST_SECONDS:
        return 0.0
    [row] = facts.rows(f"select {LISTS_FIRST} as waits")
    return 0.0 if row["waits"] else due


def failed_share(facts: AlertFacts) -> Iterator[RuleValue]:
    """The share of the attempts of ten minutes that failed, 0 to 1; nothing while there are too few to tell."""
    found = facts.attempts
    if found["attempt_count"] < LEAST_ATTEMPTS or found["record_count"] < LEAST_RECORDS:
        return
    share = found["failed_count"] / found["attempt_count"]
    says = f"{share:.0%} of {counted(found['attempt_count'], 'attempt')} in ten minutes failed"
    yield RuleValue(
        value=round(share, 3),
        says=f"{says}, about {counted(found['record_count'], 'record')}.",
        detail={"failed_count": found["failed_count"], "record_count": found["record_count"]},
    )


def depth(facts: AlertFacts) -> Iterator[RuleValue]:
    """How many work items wait, without bulk work and without paused entities."""
    if facts.health["depth"] < LEAST_DEPTH:
        return
    by_entity = facts.backlog
    count = sum(by_entity.values())
    says = f"{counted(count, 'work item')} wait, most of them of {named(list(by_entity))}."
    if count:
        yield RuleValue(value=count, says=says, detail={"items": by_entity})


# A live lease is renewed, so age alone says nothing of an item; an event or another claim moves updated_at.
_STUCK = f"""
select leased_by as holder, min(entity) as entity, count(*) as item_count, null::bigint as run_id,
    extract(epoch from clock_timestamp() - min(updated_at))::float8 as seconds
from tds_sync_queue where lease_token is not null and updated_at < now() - interval '10 minutes' group by leased_by
union all
select r.leased_by, r.entity, 1, r.id, extract(epoch from clock_timestamp() - w.since_at)::float8
from tds_sync_runs r cross join lateral (
    -- Comparisons read records one by one, not pages: theirs is stuck only when no process takes it.
    select case when r.mode = 'comparison' or r.lease_token is null then greatest(r.next_attempt_at, r.started_at)
        else r.started_at end as since_at
    union all select max(read_at) from tds_sync_run_pages where run_id = r.id
    order by 1 desc nulls last limit 1) w
where r.state = 'running' and r.mode <> 'targeted' and w.since_at < now() - interval '10 minutes'
  and (r.lease_token is null or r.mode <> 'comparison') and r.next_attempt_at <= now()
  and not {PAUSED.format(entity="r.entity")}
order by seconds desc
"""


def stuck_seconds(facts: AlertFacts) -> Iterator[RuleValue]:
    """Seconds for which an item or a run has been in work without any progress."""
    rows = facts.rows(_STUCK) if facts.signs["has_old_work"] else ()
    if rows:
        first = rows[0]
        what = f"Run {first['run_id']}" if first["run_id"] else counted(first["item_count"], "item")
        says = f"{what} of {first['entity']} made no progress for {span(first['seconds'])}."
        held = [{"holder": row["holder"], "entity": row["entity"], "run_id": row["run_id"]} for row in rows[:5]]
        yield RuleValue(value=round(first["seconds"]), says=says, detail={"stuck": held, "count": len(rows)})


_PAUSES = """
select entity, paused_by, extract(epoch from clock_timestamp() - paused_at)::float8 as seconds
from tds_queue_pauses order by seconds desc, entity
"""
ALL = "all"


def paused_seconds(facts: AlertFacts) -> Iterator[RuleValue]:
    """By entity, seconds since an operator paused it; one reading where all are."""
    rows = facts.rows(_PAUSES) if facts.health["paused_queues"] else ()
    for row in rows[:1] if len(rows) == len(ENTITIES) else rows:
        subject = ALL if len(rows) == len(ENTITIES) else row["entity"]
        says = f"The work of {subject.replace(ALL, 'every entity')} has been paused for {span(row['seconds'])}."
        yield RuleValue(value=round(row["seconds"]), says=says, subject=subject, detail={"paused_by": row["paused_by"]})


def locked_records(facts: AlertFacts) -> Iterator[RuleValue]:
    """How many records wait for a lock that another program holds."""
    waits = facts.health["lock_waits"]
    if waits:
        count = max(1, facts.health["locked_count"])
        says = f"{counted(count, 'record waits', 'records wait')} for a lock that another program holds."
        yield RuleValue(value=count, says=says, detail={"locks": waits})


RULES = (
    Rule(
        name="no_progress",
        title="Work is due and none is done",
        severity=AlertSeverity.CRITICAL,
        measure=standstill,
        threshold=60,
        unit="seconds",
        cause="Workers hang, or fail before they can write down how an attempt ended.",
        automatic="Workers that take up nothing are ended and started again; due work is announced again and again.",
        command="tds health",
        for_seconds=30,
        muted_by=PROCESS_CAUSES,
        expression='max(tds_component_state{component="workers",state="critical"}) > 0',
    ),
    Rule(
        name="failure_rate",
        title="Many attempts fail",
        severity=AlertSeverity.CRITICAL,
        measure=failed_share,
        threshold=0.05,
        unit="ratio",
        cause="Zoho answers with errors, a change in Zoho breaks a rule of TDS, or workers die at their work.",
        automatic="Each record is tried eight times at growing intervals, then it is a dead letter.",
        command="tds stats",
        for_seconds=15,
        keep_seconds=120,
        muted_by=SOURCE_CAUSES,
        expression="tds:sync_failures:ratio_10m > {threshold} and sum(increase(tds_sync_outcomes_total[10m])) >= 20",
    ),
    Rule(
        name="backlog",
        title="Work piles up",
        severity=AlertSeverity.WARNING,
        measure=depth,
        threshold=DEPTH_WARNING,
        unit="items",
        cause="More changes come than workers carry out: an import in Zoho, too few workers, or a slow source.",
        automatic="The most urgent goes first; several changes of one record are one piece of work.",
        command="tds workers start",
        for_seconds=30,
        muted_by=(*PROCESS_CAUSES, *SLOWING_CAUSES, "no_progress", "backlog_critical"),
        expression="max(tds_queue_backlog) > {threshold}",
    ),
    Rule(
        name="backlog_critical",
        title="Far more work than workers carry out",
        severity=AlertSeverity.CRITICAL,
        measure=depth,
        threshold=DEPTH_CRITICAL,
        unit="items",
        cause="More changes come than workers carry out: an import in Zoho, too few workers, or a slow source.",
        automatic="The most urgent goes first; several changes of one record are one piece of work.",
        command="tds workers start",
        for_seconds=30,
        muted_by=(*PROCESS_CAUSES, *SOURCE_CAUSES, "no_progress"),
        expression="max(tds_queue_backlog) > {threshold}",
    ),
    Rule(
        name="stuck_work",
        title="Work is stuck",
        severity=AlertSeverity.ERROR,
        measure=stuck_seconds,
        threshold=3600,
        unit="seconds",
        cause="A worker hangs in a record or a page, or a run is taken by no worker.",
        automatic="Leases of dead workers are taken back within seconds; a live one is never taken for its age.",
        command="tds runs list --state running",
        for_seconds=300,
        muted_by=(*PROCESS_CAUSES, *PARTIAL_CAUSES, "no_progress"),
    ),
    Rule(
        name="queue_paused",
        title="Work has been paused for long",
        severity=AlertSeverity.WARNING,
        measure=paused_seconds,
        threshold=7200,
        unit="seconds",
        cause="An operator paused it and did not let it go on.",
        automatic="Webhooks are taken and kept; their work is done once it may.",
        command="tds queue resume",
    ),
    Rule(
        name="foreign_locks",
        title="Another program locks records",
        severity=AlertSeverity.WARNING,
        measure=locked_records,
        threshold=0,
        unit="records",
        cause="A transaction of another program in the same database has changed these rows and not ended.",
        automatic="These records are tried again at growing intervals, at most half a minute apart; others go on.",
        command="tds health",
        for_seconds=60,
        expression='max(tds_component_state{component="locks",state="warning"}) > 0',
    ),
)
