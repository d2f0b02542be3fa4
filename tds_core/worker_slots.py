"""Worker slots: how many tasks the living workers run at once, counted from their reports.

What is shared among workers (nudges, bulk reading, the quota without Redis) goes by this count, so that starting or
ending workers needs no setting.
"""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

#: Workers report every two seconds; one without a report for so long is not counted on.
SILENT_SECONDS = 15.0
#: How long a count is used before it is taken again.
REFRESH_SECONDS = 3.0
#: Shares of a minute's quota go by the most slots there were within a minute.
PEAK_SECONDS = 60.0

_LIVING = text("""
select count(*) as worker_count, coalesce(sum(slot_count), 0) as slot_count from tds_listeners
where ended_at is null and deaf_at is null and alive_at > clock_timestamp() - make_interval(secs => :silent)
""")


@dataclass(frozen=True, slots=True)
class Capacity:
    """The living workers, and how many tasks they run at once together."""

    worker_count: int
    slot_count: int


NO_WORKERS = Capacity(0, 0)


def living_workers(session: Session) -> Capacity:
    """The workers that reported within SILENT_SECONDS, have not ended, and consume."""
    row = session.execute(_LIVING, {"silent": SILENT_SECONDS}).one()
    return Capacity(int(row.worker_count), int(row.slot_count))


class WorkerSlots:
    """The slots of all living workers, counted at most every REFRESH_SECONDS. Thread-safe.

    Never below `least`, the slots the caller knows of without asking. While the database is away the last count stands.
    """

    def __init__(
        self,
        scope: Callable[[], AbstractContextManager[Session]],
        *,
        least: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scope, self._least, self._clock = scope, max(1, least), clock
        self._lock = threading.Lock()
        self._count = self._least
        self._next_at = 0.0
        self._is_known = False
        self._counts: list[tuple[float, int]] = []

    def count(self) -> int:
        """The slots there are now. Opens a transaction at times, so never use it inside one."""
        with self._lock:
            now = self._clock()
            if not self._is_known or now >= self._next_at:
                self._refresh(now)
            return self._count

    def peak(self) -> int:
        """The most slots there were within PEAK_SECONDS, as far as this object was asked."""
        current = self.count()
        with self._lock:
            return max([current, *(count for _, count in self._counts)])

    def _refresh(self, now: float) -> None:
        self._next_at, self._is_known = now + REFRESH_SECONDS, True
        try:
            with self._scope() as session:
                found = living_workers(session).slot_count
        except SQLAlchemyError:  # the engine tells of the outage
            return
        self._count = max(self._least, found)
        self._counts = [(at, count) for at, count in self._counts if at > now - PEAK_SECONDS] + [(now, self._count)]
