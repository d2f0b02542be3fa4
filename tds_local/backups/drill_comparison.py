"""The comparison of a drill: reads what changed since the backup, then compares every entity with Zoho.

A process of its own, on the database its settings name; it prints one line of JSON.
"""

import sys
import time
from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import text

from tds_core.comparison import comparisons, queries
from tds_core.comparison.queries import ComparisonStatus
from tds_core.observability.logging import configure_logging
from tds_core.processing.lease_recovery import recover_expired_leases
from tds_core.sync import runs
from tds_models.comparison import Agreement
from tds_models.entities import ENTITIES
from tds_models.runs import Mode
from tds_tasks.context import scope, settings
from tds_tasks.runs import advance_run
from tds_tasks.work_batches import drain

#: Work and runs that do not end are not waited for any longer.
LONGEST_SECONDS = 6 * 3600.0
_SLICE_SECONDS, _PAUSE_SECONDS = 30.0, 0.5
_MOST_PASSES = 2
REQUESTED_BY = "tds restore --drill"


def synced_and_compared(*, longest_seconds: float = LONGEST_SECONDS) -> ComparisonStatus:
    """Read what changed since the cursors, compare, and read those entities in full that still differ, once."""
    until = time.monotonic() + longest_seconds
    names: Sequence[str] = list(ENTITIES)
    _give_up_old_work()
    _sync(names, Mode.INCREMENTAL, until)
    for number in range(_MOST_PASSES):
        status = _compare(names, until)
        unequal = [part["entity"] for part in status["parts"] if part["agreement"] != Agreement.EQUAL]
        if not unequal or number == _MOST_PASSES - 1:
            break
        _sync(unequal, Mode.FULL, until)
    return status


# What is due within a minute is waited for; work that is put off for longer shows as a difference, if it is one.
_OWED = text("select exists (select from tds_sync_queue where next_attempt_at < now() + interval '1 minute')")
_OPEN_RUNS = text("""
select id from tds_sync_runs where id = any(:ids)
    and state not in ('completed', 'failed', 'cancelled', 'rejected', 'held')
order by id
""")
_OPEN_COMPARISONS = text("select id from tds_comparisons where state = 'running'")
_RUNS_OF = text("select run_id from tds_comparison_reports where comparison_id = :id and state = 'running'")


def _give_up_old_work() -> None:
    """End the comparisons that ran when the backup was taken: what they read is of that time."""
    with scope() as session:
        for comparison_id in session.execute(_OPEN_COMPARISONS).scalars().all():
            comparisons.cancel(session, comparison_id, by=REQUESTED_BY)


def _sync(names: Sequence[str], mode: Mode, until: float) -> None:
    """Run a pass of each entity to its end, and do all work that is owed."""
    with scope() as session:
        ids = [runs.request_run(session, entity=name, mode=mode, requested_by=REQUESTED_BY) for name in names]

    def open_runs() -> Sequence[int]:
        with scope() as session:
            recover_expired_leases(session)
            return session.execute(_OPEN_RUNS, {"ids": ids}).scalars().all()

    def has_due_work() -> bool:
        for name in ENTITIES:
            drain(name, budget_seconds=_SLICE_SECONDS)
        with scope() as session:
            return bool(session.execute(_OWED).scalar_one())

    _advance(open_runs, until, has_due_work)


def _compare(names: Sequence[str], until: float) -> ComparisonStatus:
    with scope() as session:
        number = comparisons.request_comparison(session, requested_by=REQUESTED_BY, entities=names)

    def open_runs() -> Sequence[int]:
        with scope() as session:
            comparisons.end_stopped_parts(session)
            return session.execute(_RUNS_OF, {"id": number}).scalars().all()

    _advance(open_runs, until, lambda: False)
    with scope() as session:
        return queries.comparison(session, number)


def _advance(open_runs: Callable[[], Sequence[int]], until: float, has_due_work: Callable[[], bool]) -> None:
    """Take runs further until none is open and nothing is owed, or the time is up."""
    while time.monotonic() < until:
        found = open_runs()
        for run_id in found:
            while advance_run(run_id, slice_seconds=_SLICE_SECONDS):
                pass
        if not has_due_work() and not found:
            return
        time.sleep(_PAUSE_SECONDS)


def main() -> None:
    """Print what the comparison found."""
    configure_logging(settings().replace("drill", log_level="ERROR"), process="drill")
    status = synced_and_compared()
    parts = status["parts"]
    found = {
        "comparison_id": status["id"],
        "record_count": sum(part["equal_count"] for part in parts),
        "difference_count": status["difference_count"],
        "differing": [part["entity"] for part in parts if part["agreement"] == Agreement.DIFFERS],
        "unproven": [part["entity"] for part in parts if part["agreement"] not in (Agreement.EQUAL, Agreement.DIFFERS)],
    }
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")


if __name__ == "__main__":
    main()
