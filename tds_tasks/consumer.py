"""The worker's ear: after an outage of Redis it listens again within seconds, however long the outage was."""

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer

# Kombu waits two seconds longer after every failure, up to half a minute: as much silence after Redis is back.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 2.0


class PatientConsumer(Consumer):
    """Celery's consumer with short pauses between attempts to connect."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, trying again for as long as it takes."""
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=FIRST_PAUSE_SECONDS,
            interval_step=FIRST_PAUSE_SECONDS,
            interval_max=LONGEST_PAUSE_SECONDS,
        )
        return super().ensure_connected(conn)
