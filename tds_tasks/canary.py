"""The task `tds.canary`: a worker that runs it says in the database that it heard."""

from tds_core.healing import canaries
from tds_tasks.app import app
from tds_tasks.context import scope, while_reachable
from tds_tasks.liveness import worker_name


@app.task(name="tds.canary")
def hear(queue: str, nonce: str) -> None:
    """Say that the canary came out of its queue."""
    with while_reachable(), scope() as session:
        canaries.hear(session, queue, nonce, by=worker_name())
