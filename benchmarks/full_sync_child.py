"""One sync of every entity with all it owes, in a process of its own, as one worker does it."""

import sys
import time

from tds_core.observability.logging import configure_logging
from tds_core.sync import runs
from tds_models.entities import ENTITIES
from tds_tasks.app import tune_process
from tds_tasks.context import scope, settings
from tds_tasks.runs import advance_run
from tds_tasks.work_batches import drain

NO_END_SECONDS = 3600.0


def main() -> None:
    """`python -m benchmarks.full_sync_child full|incremental`; prints how many seconds it took."""
    tune_process()
    configure_logging(settings(), process="benchmark")
    start = time.perf_counter()
    for entity in ENTITIES:
        with scope() as session:
            run = runs.request_run(session, entity=entity, mode=sys.argv[1], requested_by="benchmark")
        while advance_run(run, slice_seconds=NO_END_SECONDS):
            pass
    while sum([drain(entity, budget_seconds=NO_END_SECONDS) for entity in ENTITIES]):
        pass
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
