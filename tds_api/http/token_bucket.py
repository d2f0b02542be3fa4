"""Token bucket: bounds how many refused requests a process records a second, so that a flood costs no database time."""

import threading
import time


class TokenBucket:
    """Up to `burst` takes at once, refilled by `per_second`. For one process; safe across threads."""

    def __init__(self, *, burst: int, per_second: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._tokens, self._refilled_at = float(burst), time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one token; False when there is none."""
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._refilled_at) * self._per_second)
            self._refilled_at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True
