"""The count of webhooks answered 503, written in the background, as mostly the database is away just then."""

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tds_core.inbox.unstored_counts import UnstoredTally, add_unstored
from tds_models.db import session_scope

log = structlog.get_logger(__name__)

WRITE_EVERY_SECONDS = 1.0
# Minutes held in memory; a longer outage is still counted, but not minute by minute.
MOST_MINUTES = 1440


class UnavailabilityCounter:
    """Counts in memory without blocking; a background thread writes the counts when the database answers."""

    def __init__(self, engine: Engine, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine, self._now = engine, now
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._counts: dict[tuple[datetime, str], UnstoredTally] = {}
        self._condition = threading.Condition()
        self._writer: threading.Thread | None = None

    def add(self, reason: str) -> None:
        """Count one webhook that was not stored. Returns at once and never raises."""
        now = self._now()
        key = now.replace(second=0, microsecond=0), reason
        with self._condition:
            self._put(key, UnstoredTally(1, now, now))
            if self._writer is None:
                self._writer = threading.Thread(target=self._run, name="unstored", daemon=True)
                self._writer.start()
            self._condition.notify()

    def write(self) -> bool:
        """Write the counts; returns whether that succeeded. If not, they are held for the next time."""
        with self._condition:
            counts, self._counts = self._counts, {}
        if not counts:
            return True
        try:
            with session_scope(self._engine) as session:
                add_unstored(session, counts)
        except SQLAlchemyError:
            with self._condition:
                for key, count in counts.items():
                    self._put(key, count)
            return False
        return True

    def _put(self, key: tuple[datetime, str], more: UnstoredTally) -> None:
        if key not in self._counts and len(self._counts) >= MOST_MINUTES:
            key = max(self._counts)
        entry = self._counts.get(key)
        if entry is None:
            self._counts[key] = more
            return
        entry.count += more.count
        entry.first_at, entry.last_at = min(entry.first_at, more.first_at), max(entry.last_at, more.last_at)

    def _run(self) -> None:
        is_failing = False
        while True:
            with self._condition:
                while not self._counts:
                    self._condition.wait()
            time.sleep(WRITE_EVERY_SECONDS)
            is_written = self.write()
            if not is_written and not is_failing:  # once an outage
                log.warning("unstored_webhooks_not_counted_yet")
            is_failing = not is_written
