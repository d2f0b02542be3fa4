"""Token bucket: how many refused requests a process stores a second."""

import threading
import time


class TokenBucket:
    """Bounds what one process stores of refused requests a second, so that a flood of them costs no database time."""

    def __init__(self, *, burst: int, per_second: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._tokens, self._filled_at = float(burst), time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one token; False when there is none."""
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second)
            self._filled_at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True
