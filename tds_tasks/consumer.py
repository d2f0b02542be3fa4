"""The worker's ear: after an outage of Redis it listens again within seconds, and it tells that its loop goes round."""

import time
from contextlib import suppress
from functools import partial
from typing import Any

from celery.worker.consumer import Consumer

# Kombu waits two seconds longer after every failure, up to half a minute: as much silence after Redis is back.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 2.0
# How often the main loop shows that it goes round.
ROUND_SECONDS = 2.0


class PatientConsumer(Consumer):
    """Celery's consumer with short pauses between attempts to connect; `looped` is when its loop last went round."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.looped = time.monotonic()
        self._round: Any = None

    def on_ready(self) -> None:
        """Begin to consume, at the start and after every lost connection."""
        if self._round is not None:
            self._round.cancel()
        self._round = self.timer.call_repeatedly(ROUND_SECONDS, self._go_round)
        self._go_round()
        super().on_ready()

    def _go_round(self) -> None:
        self.looped = time.monotonic()

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of the connection. A Redis that refuses its word would let us in again at once: it is given time."""
        # Kombu stumbles over its own half-closed connection when it puts back messages that were fetched ahead. What
        # they announced waits in PostgreSQL, and is announced again.
        with suppress(AttributeError):
            super().on_connection_error_after_connected(exc)
        if isinstance(exc, self.channel_errors):
            time.sleep(LONGEST_PAUSE_SECONDS)

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, trying again for as long as it takes."""
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=FIRST_PAUSE_SECONDS,
            interval_step=FIRST_PAUSE_SECONDS,
            interval_max=LONGEST_PAUSE_SECONDS,
        )
        return super().ensure_connected(conn)
