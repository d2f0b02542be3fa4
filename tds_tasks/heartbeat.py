"""The heartbeat: while a batch waits on the network, a thread keeps saying that its lease is alive."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from tds_core.database_errors import is_away
from tds_core.sync import queue
from tds_tasks.context import scope, settings

log = structlog.get_logger(__name__)


@contextmanager
def beating(token: UUID) -> Iterator[None]:
    """Keep the items leased under `token` alive while the block runs."""
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(token, stop), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _beat(token: UUID, stop: threading.Event) -> None:
    while not stop.wait(settings().heartbeat_seconds):
        try:
            with scope() as session:
                queue.heartbeat(session, token=token, lease_seconds=settings().lease_seconds)
        except SQLAlchemyError as error:
            # The lease may run out; then the fence keeps this batch from writing.
            if not is_away(error):
                log.warning("heartbeat_failed", error=type(error).__name__)
