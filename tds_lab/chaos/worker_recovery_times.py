"""Recovery of killed workers: how long the work items each held waited until another worker claimed them."""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import quantiles
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Row, text
from sqlalchemy.exc import SQLAlchemyError

LOOK_SECONDS = 0.1
#: What was settled or put off so soon after a kill was so by the one that died: the dispatcher looks twice a second.
RELEASED_WITHIN_SECONDS = 0.5

HELD = text("select id, lease_token from tds_sync_queue where split_part(leased_by, ':', 2) = any(:pids)")
LOOK = text("""
select id, lease_token, next_attempt_at, next_attempt_at > clock_timestamp() as is_deferred
from tds_sync_queue where id = any(:ids)
""")


@dataclass(frozen=True, slots=True)
class OrphanRecovery:
    """Seconds until orphans were claimed again, and how many are not yet.

    `released_count`: items that were settled or put off when they were first looked at, within half a second of the
    kill, since their holder had done so before it died. An orphan is taken back later than that, and is due at once.
    """

    seconds: list[float]
    left_count: int
    released_count: int = 0

    def figures(self) -> dict[str, float | int | None]:
        """Seconds for half and for 99 in a hundred of them."""
        cuts = quantiles(self.seconds, n=100, method="inclusive") if len(self.seconds) > 1 else self.seconds * 99
        p50, p99 = (round(cuts[49], 2), round(cuts[98], 2)) if cuts else (None, None)
        return {
            "p50": p50,
            "p99": p99,
            "longest": round(max(self.seconds), 2) if self.seconds else None,
            "count": len(self.seconds),
            "left": self.left_count,
            "released": self.released_count,
        }


class Orphans:
    """Ten looks a second at what killed workers held. A database that is away only makes the wait longer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: dict[tuple[int, UUID], float] = {}
        self._seen: dict[tuple[int, UUID], Row[Any]] = {}
        self._seconds: list[float] = []
        self._released_count = 0
        self._lock, self._ending = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="orphans", daemon=True)
        self._thread.start()

    def held_by(self, pids: Iterable[int]) -> dict[int, UUID]:
        """The items these processes hold, with their lease tokens. Raises SQLAlchemyError."""
        with self._engine.connect() as connection:
            found = connection.execute(HELD, {"pids": [str(pid) for pid in pids]})
            return {row.id: row.lease_token for row in found}

    def watch(self, held: Mapping[int, UUID]) -> None:
        """The holder of these items is killed at this moment."""
        with self._lock:
            self._waiting.update(dict.fromkeys(held.items(), time.monotonic()))

    def so_far(self) -> OrphanRecovery:
        """What was seen until now."""
        with self._lock:
            return OrphanRecovery(list(self._seconds), len(self._waiting), self._released_count)

    def close(self) -> None:
        """Watch no longer."""
        self._ending.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ending.wait(LOOK_SECONDS):
            with self._lock:
                waiting = dict(self._waiting)
            if waiting:
                try:
                    self._look(waiting)
                except SQLAlchemyError:
                    continue

    def _look(self, waiting: Mapping[tuple[int, UUID], float]) -> None:
        with self._engine.connect() as connection:
            rows = {row.id: row for row in connection.execute(LOOK, {"ids": [item_id for item_id, _ in waiting]})}
        now = time.monotonic()
        for (item_id, token), killed_at in waiting.items():
            key, row = (item_id, token), rows.get(item_id)
            before = self._seen.get(key)
            if row is not None:
                self._seen[key] = row
            is_first = before is None and now - killed_at < RELEASED_WITHIN_SECONDS
            if is_first and (row is None or (row.lease_token is None and row.is_deferred)):
                self._end(key, None)
            elif row is None or row.lease_token not in (None, token) or _was_claimed(row, before):
                self._end(key, now - killed_at)

    def _end(self, key: tuple[int, UUID], seconds: float | None) -> None:
        with self._lock:
            if seconds is None:
                self._released_count += 1
            else:
                self._seconds.append(seconds)
            del self._waiting[key]


def _was_claimed(row: Row[Any], before: Row[Any] | None) -> bool:
    """Whether an item without a lease was claimed and put off again since the look before.

    One that is taken back is due at once; only whoever claims it makes it wait longer than that.
    """
    if row.lease_token is not None:
        return False
    return bool(
        row.is_deferred or (before and before.lease_token is None and row.next_attempt_at > before.next_attempt_at)
    )
