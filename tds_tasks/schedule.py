"""The task `tds.timetable.tick`: takes due slots of the timetable and runs their jobs. Beat sends it; rows decide."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tds_core import retention
from tds_core.audit_trail import retention as audit_retention
from tds_core.audit_trail import rolling_verification
from tds_core.audit_trail import seal as audit_seal
from tds_core.audit_trail.row_digests import SEALED_TABLES
from tds_core.audit_trail.seal_keys import configured_keys, seal_key
from tds_core.comparison import comparisons
from tds_core.configuration import versions
from tds_core.database_errors import is_out_of_time
from tds_core.healing import actions, cycle
from tds_core.healing.action_log import Cause
from tds_core.healing.context import HealingContext, healing_context
from tds_core.observability import heartbeats
from tds_core.processing.lease_recovery import recover_expired_leases
from tds_core.queue.items import database_clock
from tds_core.schedule import job_store
from tds_core.schedule.job_store import ClaimedSlot
from tds_core.statistics import history, uptime
from tds_core.sync import runs
from tds_core.webhook_coverage.gap_findings import report_gaps
from tds_core.webhook_coverage.measure import measure
from tds_models.db import set_statement_timeout
from tds_models.entities import ENTITIES
from tds_tasks import celeryconfig, partition_upkeep, task_results
from tds_tasks.app import app
from tds_tasks.context import breakers, scope, settings, unhurried, while_reachable
from tds_tasks.healing_loop import announce
from tds_tasks.worker import lease_holder_liveness

log = structlog.get_logger(__name__)

_followed: dict[str, str] = {}  # the time zone this process saw the timetable in, once it did

# Less than the time limit of a task: what is left has its turn with a later slot.
BUDGET_SECONDS = 40.0
# So that verifying the history all the time takes less than a hundredth of a processor.
VERIFY_SECONDS = 0.25
#: What a slot of healing says that did nothing.
SWITCHED_OFF = "switched off: AUTO_HEALING_ENABLED is no"


@app.task(name="tds.timetable.tick", throws=(task_results.WorkFailedError,))
def run_timetable() -> str:
    """Run every slot that is due."""
    ends = tick()
    sentence = ", ".join(f"{job} {'completed' if well else 'failed'}" for job, well in ends.items())
    return task_results.ended(sentence or "no job was due", failed=not all(ends.values()))


def tick() -> dict[str, bool]:
    """Run every slot that is due. Returns whether each job ended well."""
    ends: dict[str, bool] = {}
    with while_reachable():
        with scope() as session:
            zone = _keep_to_zone(session)
            heartbeats.beat(session, "beat")
            slots = job_store.claim_due(session)
        _followed["zone"] = zone  # once that is committed
        for slot in slots:
            ends[slot.job] = run_slot(slot)
    return ends


def _keep_to_zone(session: Session) -> str:
    """Let the timetable begin, and follow the installation's time zone when that was changed. Returns the zone."""
    zone = settings().time_zone
    job_store.seed(session, celeryconfig.TIMETABLE, zone=zone)
    if _followed.get("zone") != zone:
        zones = {"UTC", *versions.earlier_values(session, "TDS_TIME_ZONE"), *_followed.values()}
        moved = job_store.move_to_zone(session, celeryconfig.TIMETABLE, zones=sorted(zones), zone=zone)
        if moved:
            log.info("timetable_moved", zone=zone, jobs=moved)
    return zone


def run_slot(slot: ClaimedSlot) -> bool:
    """Run the job of a slot and record how it ended. Returns whether well; the failure of one job stops no other."""
    try:
        detail = JOBS[slot.task](slot.arguments)
    except Exception as error:
        log.exception("schedule_slot_failed", job=slot.job)
        detail, result = f"{type(error).__name__}: {error}", "failed"
    else:
        log.info("schedule_slot_completed", job=slot.job, detail=detail)
        result = "completed"
    with scope() as session:
        job_store.end(session, slot, result=result, detail=detail)
    return result == "completed"


def _request_runs(arguments: Mapping[str, Any]) -> str:
    names = arguments.get("entities") or list(ENTITIES)
    with scope() as session:
        run_ids = [
            runs.request_run(session, entity=name, mode=arguments["mode"], requested_by="schedule") for name in names
        ]
    return f"runs {run_ids}"


def _recover_leases(_: Mapping[str, Any]) -> str:
    with scope() as session:
        comparisons.end_stopped_parts(session)
        return str(recover_expired_leases(session))


def _retry_dead_letters(_: Mapping[str, Any]) -> str:
    """The healing cycle retries them as well; this job lets a timetable do so at other times."""
    if not settings().auto_healing_enabled:
        return SWITCHED_OFF
    results = actions.retry_dead_letters(_healing_context())
    return f"{sum(result.count for result in results)} dead letters"


def _heal(_: Mapping[str, Any]) -> str:
    if not settings().auto_healing_enabled:
        return SWITCHED_OFF
    with scope() as session:
        cycle_id = cycle.begin(session, cause=Cause.BEAT)
    counts = cycle.run(_healing_context(), cycle_id, cause=Cause.BEAT)
    return str({name: count for name, count in counts.items() if count != 0})


def _healing_context() -> HealingContext:
    return healing_context(settings(), scope, breakers(), announce=announce, dead=lease_holder_liveness.dead)


def _compare(arguments: Mapping[str, Any]) -> str:
    """Compare the mirror with its source; entities whose full pass is recent need no list call."""
    with scope() as session:
        comparison_id = comparisons.request_comparison(
            session,
            requested_by="schedule",
            entities=arguments.get("entities") or (),
            sample_size=int(arguments.get("sample", 0)),
            follow_seconds=settings().comparison_follow_seconds,
        )
    return f"comparison {comparison_id}"


def _measure(_: Mapping[str, Any]) -> str:
    with scope() as session:
        is_up = uptime.record_sample(session)
    with unhurried() as session:
        return str(heartbeats.measure(session) | {"is_up": is_up})


def _store_statistics(_: Mapping[str, Any]) -> str:
    """Store what happened in the hours since, then the figures of every entity, those measured longest ago first.

    What is left when the budget is used has its turn with a later slot.
    """
    zone, until, hour_count, measured = settings().time_zone, time.monotonic() + BUDGET_SECONDS, 0, []
    with scope() as session:
        now = database_clock(session)
        spans = history.uncounted_spans(session, now=now, zone=zone)
        entities = history.longest_not_measured(session, ENTITIES)
    for since, before in spans:
        if hour_count and time.monotonic() > until:
            break
        with unhurried() as session:
            hour_count += history.store_activity(session, since=since, until=before, zone=zone)
    for entity in entities:
        if time.monotonic() > until:
            break
        if _store_figures(entity, now=now, zone=zone):
            measured.append(entity)
    return f"{len(measured)} of {len(entities)} entities measured, {hour_count} hours counted"


def _store_figures(entity: str, *, now: datetime, zone: str) -> bool:
    """Measure one entity; one whose tables take too long costs the others nothing."""
    try:
        with scope() as session:
            set_statement_timeout(session, int(BUDGET_SECONDS))
            history.store_figures(session, entity, now=now, zone=zone)
    except DBAPIError as error:
        if not is_out_of_time(error):
            raise
        log.warning("statistics_not_measured", entity=entity, seconds=BUDGET_SECONDS)
        return False
    return True


def _remove_old(_: Mapping[str, Any]) -> str:
    """Remove old rows of every table that has a retention, then history older than TDS_AUDIT_DAYS.

    Partitions come first: those of the days to come must be there whatever else fails.
    """
    chosen = settings()
    days = {"events": chosen.events_days, "attempts": chosen.attempts_days, "metrics": chosen.metrics_days}
    removed: dict[str, Any] = {name: str(result) for name, result in partition_upkeep.keep_up(days).items()}
    for table in retention.OLD:
        removed[table] = 0
        while True:
            with unhurried() as session:
                count = retention.remove_old(session, table, days)
            removed[table] += count
            if count < retention.BATCH_SIZE:
                break
    return str(removed | _retire_history())


def _retire_history() -> dict[str, int]:
    """Remove history older than TDS_AUDIT_DAYS, if that is set. Returns the removed rows by table."""
    removed: dict[str, int] = {}
    for table in [each for each in SEALED_TABLES.values() if each.retires and settings().audit_days]:
        until, more = time.monotonic() + BUDGET_SECONDS, True
        while more and time.monotonic() < until:
            with unhurried() as session:
                key = seal_key(session, settings())
                seal = audit_retention.retire(session, key, table, days=settings().audit_days)
            more = seal is not None
            removed[table.name] = removed.get(table.name, 0) + (seal.row_count if seal else 0)
    return removed


def _seal(_: Mapping[str, Any]) -> str:
    """Seal the rows that can be sealed, round after round, within the budget of time."""
    until, row_count, sealed = time.monotonic() + BUDGET_SECONDS, 0, None
    while sealed is None or (sealed.more and time.monotonic() < until):
        with scope() as session:
            sealed = audit_seal.seal(session, seal_key(session, settings()))
        audit_seal.log_sealed(sealed)
        row_count += sealed.row_count
    return f"{row_count} rows sealed" + (", waits for writers" if sealed.waits else "")


def _verify_history(_: Mapping[str, Any]) -> str:
    """Hold the next part of the history against its seals."""
    with scope() as session:
        keys, progress = configured_keys(session, settings()), rolling_verification.stored_progress(session)
        now = database_clock(session)
    with scope() as session:
        progress = rolling_verification.verify_next(session, keys, progress, seconds=VERIFY_SECONDS, at=now)
    with scope() as session:
        rolling_verification.store_progress(session, progress)
    where = f"verified up to seal {progress.position}" if progress.position else "verified to its end"
    return f"{where}, {progress.worst.count} violations"


def _measure_webhook_coverage(_: Mapping[str, Any]) -> str:
    """Measure what the history and the inbox got since the last slot, within the budget of time, and report gaps."""
    until, change_count, gap_count, measured = time.monotonic() + BUDGET_SECONDS, 0, 0, None
    while measured is None or (measured.more and time.monotonic() < until):
        with scope() as session:
            measured = measure(session)
        change_count += measured.change_count
        gap_count += measured.gap_count
    with scope() as session:
        open_count = report_gaps(session)
    return f"{change_count} changes measured, {gap_count} not announced in time, {open_count} findings open"


#: The kinds of job, as rows of tds_scheduled_jobs name them; a row may name one that no default timetable has.
JOBS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "runs": _request_runs,
    "rescue": _recover_leases,
    "revive": _retry_dead_letters,
    "heal": _heal,
    "compare": _compare,
    "measure": _measure,
    "statistics": _store_statistics,
    "retention": _remove_old,
    "seal": _seal,
    "verify_history": _verify_history,
    "webhook_coverage": _measure_webhook_coverage,
}
