"""The acts of the demo: the first load, the edits, the quiet, the hourly reads, and the comparison."""

import dataclasses
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from tds_core.sync.runs import request_run
from tds_lab.demo import stats
from tds_lab.demo.stats import Owed
from tds_lab.environment import Environment
from tds_lab.sandbox import ENTITY_OF_MODULE
from tds_models.db import session_scope
from tds_models.entities import ENTITIES

LOOK_SECONDS = 0.1
QUIET_WITHIN_SECONDS = 180.0
LOADED_WITHIN_SECONDS = 900.0

OnProgress = Callable[[dict[str, stats.Load], datetime | None], None]

ANNOUNCED = tuple(ENTITY_OF_MODULE.values())
UNANNOUNCED = tuple(name for name in ENTITIES if name not in ANNOUNCED)


def request_runs(stage: Environment, mode: str, entities: Iterable[str]) -> None:
    """Ask for one run of each of these entities, as the timetable does."""
    with session_scope(stage.engine) as session:
        for entity in entities:
            request_run(session, entity=entity, mode=mode, requested_by="demo")


def load(stage: Environment, on_progress: OnProgress, *, within_seconds: float = LOADED_WITHIN_SECONDS) -> bool:
    """Request a full run of everything and watch it; returns whether all of it ended in time."""
    request_runs(stage, "full", ENTITIES)
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        with stage.engine.connect() as connection:
            on_progress(stats.loads(connection), stats.first_record_at(connection))
            if not stats.owed(connection):
                return True
        time.sleep(LOOK_SECONDS)
    return False


def settle(stage: Environment, *, within_seconds: float = QUIET_WITHIN_SECONDS) -> Owed:
    """Wait until nothing is on its way and nothing is owed; returns what still is when the time is up."""
    deadline = time.monotonic() + within_seconds
    left = Owed(0, 0, 0)
    while time.monotonic() < deadline:
        pending = stage.stand_in.flush(max(1.0, deadline - time.monotonic()))
        left = _owed(stage)
        if not pending and not left:
            return left
        time.sleep(LOOK_SECONDS)
    return left


def _owed(stage: Environment) -> Owed:
    """What is owed; an unreachable database counts as one event, for it will be back."""
    try:
        with stage.engine.connect() as connection:
            return stats.owed(connection)
    except SQLAlchemyError:
        return Owed(1, 0, 0)


@dataclasses.dataclass(frozen=True, slots=True)
class SweepResult:
    """Records the scheduled reads changed: those whose webhooks had misled, and those no webhook ever tells of."""

    healed_count: int
    polled_count: int


def sweep(stage: Environment, *, also_full: bool) -> SweepResult:
    """Let the scheduled reads have their turn.

    An incremental read finds what changed unannounced; only a full one finds what was deleted unannounced, as all is
    that workflow rules do not know.
    """
    with stage.engine.connect() as connection:
        mark = stats.newest_change(connection)
    request_runs(stage, "incremental", ANNOUNCED)
    request_runs(stage, "full", UNANNOUNCED)
    settle(stage)
    if also_full:
        request_runs(stage, "full", ANNOUNCED)
        settle(stage)
    with stage.engine.connect() as connection:
        changed = stats.records_changed_since(connection, mark)
    healed = sum(count for entity, count in changed.items() if entity in ANNOUNCED)
    return SweepResult(healed, sum(changed.values()) - healed)
