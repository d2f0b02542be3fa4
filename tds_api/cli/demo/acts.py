"""The acts of the demo: the first load, the edits, the quiet, the hourly reads, and the comparison."""

import time
from collections.abc import Callable
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from tds_api.cli.demo import figures
from tds_api.cli.demo.figures import Owed
from tds_api.cli.demo.stage import Stage
from tds_core.sync.runs import request_run
from tds_models.db import session_scope
from tds_models.entities import ENTITIES

LOOK_SECONDS = 0.1
QUIET_WITHIN_SECONDS = 180.0
LOADED_WITHIN_SECONDS = 900.0

OnProgress = Callable[[dict[str, tuple[str, int]], datetime | None], None]


def request_runs(stage: Stage, mode: str) -> None:
    """Ask for one run of every entity, as the timetable does."""
    with session_scope(stage.engine) as session:
        for entity in ENTITIES:
            request_run(session, entity=entity, mode=mode, requested_by="demo")


def load(stage: Stage, on_progress: OnProgress) -> bool:
    """Request a full run of everything and watch it; returns whether all of it ended in time."""
    request_runs(stage, "full")
    deadline = time.monotonic() + LOADED_WITHIN_SECONDS
    while time.monotonic() < deadline:
        with stage.engine.connect() as connection:
            runs = figures.runs(connection)
            on_progress(runs, figures.first_record_at(connection))
            if not figures.owed(connection):
                return True
        time.sleep(LOOK_SECONDS)
    return False


def settle(stage: Stage, *, within_seconds: float = QUIET_WITHIN_SECONDS) -> Owed:
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


def _owed(stage: Stage) -> Owed:
    """What is owed; an unreachable database counts as one event, for it will be back."""
    try:
        with stage.engine.connect() as connection:
            return figures.owed(connection)
    except SQLAlchemyError:
        return Owed(1, 0, 0)


def sweep(stage: Stage, *, also_full: bool) -> int:
    """Let the scheduled reads have their turn; returns how many records they changed.

    An incremental read finds what changed unannounced; only a full one finds what was deleted unannounced.
    """
    with stage.engine.connect() as connection:
        mark = figures.newest_change(connection)
    for mode in ("incremental", "full") if also_full else ("incremental",):
        request_runs(stage, mode)
        settle(stage)
    with stage.engine.connect() as connection:
        return figures.records_changed_since(connection, mark)
