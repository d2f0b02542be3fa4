"""The task `tds.timetable.tick`: takes due slots and does what they say. Beat sends it; the rows decide.

The trail's turns in the timetable: sealing what is new, retiring what is too old.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

import celeryconfig
from tds_core import retention
from tds_core.audit import retention as audit_retention
from tds_core.audit import seal as audit_seal
from tds_core.audit.keys import seal_key
from tds_core.audit.row_digests import SEALED_TABLES
from tds_core.dead_letters.retry import retry_due
from tds_core.healing import cycle
from tds_core.healing.action_log import Cause
from tds_core.healing.context import healing_context
from tds_core.observability import process
from tds_core.processing.lease_recovery import recover_expired_leases
from tds_core.schedule import jobs
from tds_core.schedule.jobs import TakenSlot
from tds_core.sync import runs
from tds_models.entities import ENTITIES
from tds_tasks.app import app
from tds_tasks.context import breakers, scope, settings, unhurried, while_reachable
from tds_tasks.healing import announce
from tds_tasks.worker import leases

# Less than a task may take: what is left has its turn a minute later.
SECONDS = 40.0


def seal() -> str:
    """Seal what can be sealed, round after round. Returns what came of it, in words."""
    until, row_count, sealed = time.monotonic() + SECONDS, 0, None
    while sealed is None or (sealed.more and time.monotonic() < until):
        with scope() as session:
            sealed = audit_seal.seal(session, seal_key(session, settings()))
        audit_seal.log_sealed(sealed)
        row_count += sealed.row_count
    return f"{row_count} rows sealed" + (", waits for writers" if sealed.waits else "")


def retire() -> dict[str, int]:
    """Remove history older than TDS_AUDIT_DAYS, if that is set. Returns the rows that went, by table."""
    gone: dict[str, int] = {}
    for table in [each for each in SEALED_TABLES.values() if each.retires and settings().audit_days]:
        until, more = time.monotonic() + SECONDS, True
        while more and time.monotonic() < until:
            with unhurried() as session:
                seal = audit_retention.retire(
                    session, seal_key(session, settings()), table, days=settings().audit_days
                )  # fmt: skip
            more = seal is not None
            gone[table.name] = gone.get(table.name, 0) + (seal.row_count if seal else 0)
    return gone


log = structlog.get_logger(__name__)


@app.task(name="tds.timetable.tick")
def tick() -> None:
    """Run every slot that is due."""
    with while_reachable():
        with scope() as session:
            jobs.seed(session, celeryconfig.TIMETABLE)
            process.beat(session, "beat")
            taken = jobs.take_due(session)
        for slot in taken:
            run_slot(slot)


def run_slot(slot: TakenSlot) -> None:
    """Do what a slot says and write down how it ended; one job's failure is no other's."""
    try:
        detail = JOBS[slot.task](slot.arguments)
    except Exception as error:
        log.exception("schedule_slot_failed", job=slot.job)
        detail, result = f"{type(error).__name__}: {error}", "failed"
    else:
        log.info("schedule_slot_completed", job=slot.job, detail=detail)
        result = "completed"
    with scope() as session:
        jobs.end(session, slot, result=result, detail=detail)


def _request_runs(arguments: Mapping[str, Any]) -> str:
    names = arguments.get("entities") or list(ENTITIES)
    with scope() as session:
        asked = [
            runs.request_run(session, entity=name, mode=arguments["mode"], requested_by="schedule") for name in names
        ]
    return f"runs {asked}"


def _rescue(_: Mapping[str, Any]) -> str:
    with scope() as session:
        return str(recover_expired_leases(session))


def _revive(_: Mapping[str, Any]) -> str:
    with scope() as session:
        count = retry_due(
            session,
            after_seconds=settings().revive_after_seconds,
            most_times=settings().revive_times,
            count=settings().revive_at_once,
        )
    return f"{count} dead letters"


def _heal(_: Mapping[str, Any]) -> str:
    context = healing_context(settings(), scope, breakers(), announce=announce, dead=leases.dead)
    with scope() as session:
        cycle_id = cycle.begin(session, cause=Cause.BEAT)
    counts = cycle.run(context, cycle_id, cause=Cause.BEAT)
    return str({name: count for name, count in counts.items() if count != 0})


def _measure(_: Mapping[str, Any]) -> str:
    with unhurried() as session:
        return str(process.measure(session))


def _remove_old(_: Mapping[str, Any]) -> str:
    removed = {}
    for table in retention.OLD:
        removed[table] = 0
        while True:
            with unhurried() as session:
                count = retention.remove_old(session, table)
            removed[table] += count
            if count < retention.BITE:
                break
    return str(removed | retire())


def _seal(_: Mapping[str, Any]) -> str:
    return seal()


#: What a job of the timetable may ask for.
JOBS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "runs": _request_runs,
    "rescue": _rescue,
    "revive": _revive,
    "heal": _heal,
    "measure": _measure,
    "retention": _remove_old,
    "seal": _seal,
}
