"""The count of webhooks answered 503, written by a thread of its own: mostly the database is away just then."""

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tds_core.inbox.unavailability import Unstored, add_unstored
from tds_models.db import session_scope

log = structlog.get_logger(__name__)

WRITTEN_EVERY_SECONDS = 1.0
# Minutes that nobody could write down yet; an outage longer than this is counted, but not minute by minute.
MOST_KEPT = 1440


class UnstoredCount:
    """Counts in memory, without waiting for anything, and writes when it can."""

    def __init__(self, engine: Engine, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine, self._now = engine, now
        self._begin_anew()
        os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        self._counted: dict[tuple[datetime, str], Unstored] = {}
        self._change = threading.Condition()
        self._writer: threading.Thread | None = None

    def add(self, reason: str) -> None:
        """One more was not stored. Returns at once and never raises."""
        now = self._now()
        key = now.replace(second=0, microsecond=0), reason
        with self._change:
            self._put(key, Unstored(1, now, now))
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_for_ever, name="unstored", daemon=True)
                self._writer.start()
            self._change.notify()

    def write(self) -> bool:
        """Write what was counted; it is kept for the next time when the database cannot be reached. Whether it was."""
        with self._change:
            counted, self._counted = self._counted, {}
        if not counted:
            return True
        try:
            with session_scope(self._engine) as session:
                add_unstored(session, counted)
        except SQLAlchemyError:
            with self._change:
                for key, each in counted.items():
                    self._put(key, each)
            return False
        return True

    def _put(self, key: tuple[datetime, str], more: Unstored) -> None:
        if key not in self._counted and len(self._counted) >= MOST_KEPT:
            key = max(self._counted)
        found = self._counted.get(key)
        if found is None:
            self._counted[key] = more
            return
        found.count += more.count
        found.first_at, found.last_at = min(found.first_at, more.first_at), max(found.last_at, more.last_at)

    def _write_for_ever(self) -> None:
        is_failing = False
        while True:
            with self._change:
                while not self._counted:
                    self._change.wait()
            time.sleep(WRITTEN_EVERY_SECONDS)
            is_written = self.write()
            if not is_written and not is_failing:  # once an outage
                log.warning("unstored_webhooks_not_counted_yet")
            is_failing = not is_written
