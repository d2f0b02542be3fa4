"""A worker in a process of its own, made to be killed: does what is due until nothing is owed, and ends."""

import sys
import time

from sqlalchemy import text

from tds_core.processing.lease_recovery import recover_expired_leases
from tds_core.sources.zoho import client
from tds_core.sync.runs import due_runs
from tds_tasks import runs, worker_nudges
from tds_tasks.context import scope
from tds_tasks.work_batches import drain

LEFT = text("""
select (select count(*) from tds_sync_queue where entity = any(:entities))
     + (select count(*) from tds_sync_runs where state in ('queued', 'running'))
""")


def main(*entities: str) -> None:
    """Work until nothing is left. Leases are short, so that what a dead predecessor held is soon free."""
    client.PAGE_SIZE = 10
    runs.RUN_LEASE_SECONDS = 0.5
    worker_nudges._send = lambda *_: None  # type: ignore[assignment]
    while True:
        with scope() as session:
            recover_expired_leases(session)
            due = due_runs(session, limit=5)
            left = session.execute(LEFT, {"entities": list(entities)}).scalar_one()
        if not left:
            return
        for run_id in due:
            runs.advance_run(run_id, slice_seconds=1.0)
        for entity in entities:
            drain(entity)
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
