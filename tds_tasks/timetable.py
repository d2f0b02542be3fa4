"""The task `tds.timetable.tick`: takes due slots and does what they say. Beat sends it; the rows decide."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog

import celeryconfig
from tds_core import pulse, retention
from tds_core.healing import cycle
from tds_core.healing.deeds import Cause
from tds_core.letters.reviving import revive_due
from tds_core.sync import runs
from tds_core.sync.rescue import rescue
from tds_core.timetable import jobs
from tds_core.timetable.jobs import Taken
from tds_models.entities import ENTITIES
from tds_tasks import trail
from tds_tasks.app import app
from tds_tasks.context import breakers, scope, settings, unhurried, while_reachable
from tds_tasks.healing import care_of

log = structlog.get_logger(__name__)


@app.task(name="tds.timetable.tick")
def tick() -> None:
    """Run every slot that is due."""
    with while_reachable():
        with scope() as session:
            jobs.seed(session, celeryconfig.TIMETABLE)
            pulse.beat(session, "beat")
            taken = jobs.take_due(session)
        for slot in taken:
            run_slot(slot)


def run_slot(slot: Taken) -> None:
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
        return str(rescue(session))


def _revive(_: Mapping[str, Any]) -> str:
    with scope() as session:
        count = revive_due(
            session,
            after_seconds=settings().revive_after_seconds,
            most_times=settings().revive_times,
            count=settings().revive_at_once,
        )
    return f"{count} dead letters"


def _heal(_: Mapping[str, Any]) -> str:
    care = care_of(settings(), scope, breakers())
    with scope() as session:
        begun = cycle.begin(session, cause=Cause.BEAT)
    return str({name: count for name, count in cycle.run(care, begun, cause=Cause.BEAT).items() if count != 0})


def _measure(_: Mapping[str, Any]) -> str:
    with unhurried() as session:
        return str(pulse.measure(session))


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
    return str(removed | trail.retire())


def _seal(_: Mapping[str, Any]) -> str:
    return trail.seal()


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
