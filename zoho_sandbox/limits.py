"""The organisation's API quota: calls in any minute, calls a day by product, and calls at once."""

import math
import threading
from collections import deque

from zoho_sandbox.api_errors import too_many_at_once, too_many_per_day, too_many_per_minute
from zoho_sandbox.clock import FastClock, OrgClock
from zoho_sandbox.settings import Settings

DAY_SECONDS = 86_400
_MINUTE_SECONDS = 60.0


class Quota:
    """Counts admitted calls and refuses what is over; a limit of 0 never refuses. Refused calls do not count."""

    def __init__(self, settings: Settings, clock: OrgClock, windows: FastClock) -> None:
        self.calls_per_minute = settings.calls_per_minute
        self.calls_per_day = settings.calls_per_day
        self.concurrent_calls = settings.concurrent_calls
        self._clock = clock
        self._now = windows
        self._lock = threading.Lock()
        self._recent: deque[float] = deque()
        self._today: dict[str, int] = {}
        self._day = 0
        self._in_flight = 0
        self.in_flight_peak = 0

    def enter(self, product: str) -> None:
        """Admit one call to `product`, or raise Zoho's 429; every admitted call must `leave`."""
        with self._lock:
            now = self._now()
            self._roll(now)
            if self.concurrent_calls and self._in_flight >= self.concurrent_calls:
                raise too_many_at_once()
            if self.calls_per_day and self._today.get(product, 0) >= self.calls_per_day:
                raise too_many_per_day(self.calls_per_day)
            if self.calls_per_minute and len(self._recent) >= self.calls_per_minute:
                raise too_many_per_minute()
            self._recent.append(now)
            self._today[product] = self._today.get(product, 0) + 1
            self._in_flight += 1
            self.in_flight_peak = max(self.in_flight_peak, self._in_flight)

    def leave(self) -> None:
        with self._lock:
            self._in_flight -= 1

    def headers(self, product: str) -> dict[str, str]:
        """The daily quota as Zoho tells it; the reset is in the caller's seconds."""
        with self._lock:
            now = self._now()
            self._roll(now)
            return {
                "X-Rate-Limit-Limit": str(self.calls_per_day),
                "X-Rate-Limit-Remaining": str(max(self.calls_per_day - self._today.get(product, 0), 0)),
                "X-Rate-Limit-Reset": str(math.ceil((self._day + DAY_SECONDS - now) / self._now.speed)),
            }

    def used(self) -> dict[str, object]:
        with self._lock:
            self._roll(self._now())
            return {"minute": len(self._recent), "day": dict(self._today), "in_flight_peak": self.in_flight_peak}

    def forget(self) -> None:
        """Start every count again from nought."""
        with self._lock:
            self._recent.clear()
            self._today.clear()

    def _roll(self, now: float) -> None:
        while self._recent and self._recent[0] <= now - _MINUTE_SECONDS:
            self._recent.popleft()
        if now >= self._day + DAY_SECONDS:
            self._day = self._clock.midnight(now)
            self._today.clear()
