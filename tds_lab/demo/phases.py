"""Phases of the demo: the first load, waiting until quiet, and the scheduled reads."""

import dataclasses
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from tds_core.sync.runs import request_run
from tds_lab.demo import stats
from tds_lab.demo.stats import PendingWork
from tds_lab.testbed import Environment
from tds_lab.zoho_stand_in import ENTITY_OF_MODULE
from tds_models.db import session_scope
from tds_models.entities import ENTITIES

LOOK_SECONDS = 0.1
QUIET_WITHIN_SECONDS = 180.0
LOADED_WITHIN_SECONDS = 900.0

OnProgress = Callable[[dict[str, stats.Load], datetime | None], None]

ANNOUNCED = tuple(ENTITY_OF_MODULE.values())
UNANNOUNCED = tuple(name for name in ENTITIES if name not in ANNOUNCED)


def request_runs(environment: Environment, mode: str, entities: Iterable[str]) -> None:
    """Ask for one run of each of these entities, as the timetable does."""
    with session_scope(environment.engine) as session:
        for entity in entities:
            request_run(session, entity=entity, mode=mode, requested_by="demo")


def load(environment: Environment, on_progress: OnProgress, *, within_seconds: float = LOADED_WITHIN_SECONDS) -> bool:
    """Request a full run of everything and watch it; returns whether all of it ended in time."""
    request_runs(environment, "full", ENTITIES)
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        with environment.engine.connect() as connection:
            on_progress(stats.loads(connection), stats.first_record_at(connection))
            if not stats.pending_work(connection):
                return True
        time.sleep(LOOK_SECONDS)
    return False


def wait_until_quiet(environment: Environment, *, within_seconds: float = QUIET_WITHIN_SECONDS) -> PendingWork:
    """Wait until no delivery is under way and no work is pending; returns the pending work at the end."""
    deadline = time.monotonic() + within_seconds
    left = PendingWork(0, 0, 0)
    while time.monotonic() < deadline:
        pending = environment.stand_in.flush(max(1.0, deadline - time.monotonic()))
        left = _pending_work(environment)
        if not pending and not left:
            return left
        time.sleep(LOOK_SECONDS)
    return left


def _pending_work(environment: Environment) -> PendingWork:
    """The pending work; an unreachable database counts as one event, as it will come back."""
    try:
        with environment.engine.connect() as connection:
            return stats.pending_work(connection)
    except SQLAlchemyError:
        return PendingWork(1, 0, 0)


@dataclasses.dataclass(frozen=True, slots=True)
class SweepResult:
    """Records that scheduled reads changed: where webhooks were wrong or lost, and of entities without webhooks."""

    healed_count: int
    polled_count: int


def sweep(environment: Environment, *, also_full: bool) -> SweepResult:
    """Run the scheduled reads, and count the records they change.

    An incremental read finds changes without a webhook; only a full one finds deletions without one, as are all
    deletions of entities that workflow rules do not support.
    """
    with environment.engine.connect() as connection:
        watermark = stats.newest_change(connection)
    request_runs(environment, "incremental", ANNOUNCED)
    request_runs(environment, "full", UNANNOUNCED)
    wait_until_quiet(environment)
    if also_full:
        request_runs(environment, "full", ANNOUNCED)
        wait_until_quiet(environment)
    with environment.engine.connect() as connection:
        changed = stats.records_changed_since(connection, watermark)
    healed = sum(count for entity, count in changed.items() if entity in ANNOUNCED)
    return SweepResult(healed, sum(changed.values()) - healed)
