"""Zoho away altogether: for a set time every call to the API, and to the accounts server, meets the same failure."""

import threading
import time
from typing import Literal

Kind = Literal["reset", "hanging", "error_500", "html", "truncated"]
# Some of the server's threads stay free, or nobody could end an outage that hangs.
_FREE_THREADS = 4


class Outage:
    """At most one outage at a time; it ends by itself or when told."""

    def __init__(self, threads: int) -> None:
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._kind: Kind | None = None
        self._with_accounts = False
        self._ends_at = 0.0
        self._hanging_room = threading.BoundedSemaphore(max(threads - _FREE_THREADS, 1))

    def begin(self, kind: Kind, seconds: float, *, accounts: bool) -> None:
        """Fail for so many seconds; the accounts server only with `accounts`."""
        self.end()
        with self._lock:
            self._over = threading.Event()
            self._kind, self._with_accounts = kind, accounts
            self._ends_at = time.monotonic() + seconds

    def end(self) -> None:
        """All is well again; who hangs is let go."""
        with self._lock:
            self._kind = None
            self._over.set()

    def kind(self, *, accounts: bool = False) -> Kind | None:
        """How a call fails now, or None when it does not."""
        with self._lock:
            if self._kind is None or time.monotonic() >= self._ends_at:
                return None
            return self._kind if self._with_accounts or not accounts else None

    def hang(self) -> None:
        """Keep the caller waiting until the outage is over; when too many wait already, not at all."""
        with self._lock:
            over, ends_at = self._over, self._ends_at
        if self._hanging_room.acquire(blocking=False):
            try:
                over.wait(max(ends_at - time.monotonic(), 0.0))
            finally:
                self._hanging_room.release()

    def state(self) -> dict[str, object]:
        """What it is and how long it still lasts."""
        kind = self.kind()
        left = self._ends_at - time.monotonic() if kind else 0.0
        return {"kind": kind, "seconds_left": round(left, 3), "accounts": self._with_accounts and kind is not None}
