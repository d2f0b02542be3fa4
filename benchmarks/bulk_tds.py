"""One step of TDS in a process of its own, as a worker does it.

A pass (`full`, `incremental`) reads the list, writes what is new or changed with its history, and owes the details of
those records. `details` reads what is owed, a hundred to a call, and writes what lists do not show, so that the next
pass meets records that were seen whole.
"""

import json
import sys
import time

from benchmarks.peak_memory import peak_mb
from tds_core.observability.logging import configure_logging
from tds_core.sync import runs
from tds_tasks.app import tune_process
from tds_tasks.context import scope, settings
from tds_tasks.runs import advance_run
from tds_tasks.work_batches import drain

ENTITY = "product"
NO_END_SECONDS = 3600.0


def read_list(mode: str) -> None:
    """One pass over the list, from its request to its end."""
    with scope() as session:
        run = runs.request_run(session, entity=ENTITY, mode=mode, requested_by="benchmark")
    while advance_run(run, slice_seconds=NO_END_SECONDS):
        pass


def read_details() -> None:
    """All that passes owe."""
    while drain(ENTITY, budget_seconds=NO_END_SECONDS):
        pass


def main() -> None:
    """`python -m benchmarks.bulk_tds full|incremental|details`."""
    tune_process()
    configure_logging(settings(), process="benchmark")
    start = time.perf_counter()
    if sys.argv[1] == "details":
        read_details()
    else:
        read_list(sys.argv[1])
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
