"""One run of TDS in a process of its own, as a worker does it."""

import json
import sys
import time

from benchmarks.memory import peak_mb
from tds_core.logging import configure_logging
from tds_core.sync import runs
from tds_tasks.app import tune_process
from tds_tasks.context import scope, settings
from tds_tasks.runs import advance_run


def main() -> None:
    """`python -m benchmarks.bulk_tds full|incremental`."""
    tune_process()
    configure_logging(settings(), process="benchmark")
    start = time.perf_counter()
    with scope() as session:
        run = runs.request_run(session, entity="product", mode=sys.argv[1], requested_by="benchmark")
    while advance_run(run, slice_seconds=3600):
        pass
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
