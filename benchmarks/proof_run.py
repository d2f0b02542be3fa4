"""One comparison, or one pass of a comparison's peer, in a process of its own, as one worker does it."""

import json
import sys
import time

from sqlalchemy import text

from benchmarks.peak_memory import peak_mb
from tds_core.comparison import comparisons
from tds_core.observability.logging import configure_logging
from tds_tasks.app import tune_process
from tds_tasks.context import scope, settings
from tds_tasks.runs import advance_run

NO_END_SECONDS = 3600.0
_OPEN = text("select run_id from tds_comparison_reports where comparison_id = :id and state = 'running' order by 1")
_DUE = text("update tds_sync_runs set next_attempt_at = now() where lease_token is null and state = 'running'")


def main() -> None:
    """`python -m benchmarks.proof_run FOLLOW_SECONDS [ENTITY ...]`: compare; prints seconds and peak memory."""
    tune_process()
    configure_logging(settings(), process="benchmark")
    start = time.perf_counter()
    with scope() as session:
        comparison_id = comparisons.request_comparison(
            session, requested_by="benchmark", entities=sys.argv[2:], follow_seconds=float(sys.argv[1])
        )
    while True:
        with scope() as session:
            run_ids = session.execute(_OPEN, {"id": comparison_id}).scalars().all()
            session.execute(_DUE)
        if not run_ids:
            break
        for run_id in run_ids:
            while advance_run(run_id, slice_seconds=NO_END_SECONDS):
                pass
    seconds = time.perf_counter() - start
    print(json.dumps({"id": comparison_id, "seconds": seconds, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
