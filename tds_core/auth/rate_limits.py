"""How much may be asked in a time: counted in Redis for all processes, by each process alone while Redis is away."""

import threading
import time
from dataclasses import dataclass

import structlog
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

log = structlog.get_logger(__name__)

#: After Redis failed it is left alone for so long, so that its absence costs one slow request, not all of them.
REST_SECONDS = 5.0
#: Counting is not worth a longer wait.
PATIENCE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class RateLimitState:
    """How a limit stands after a request: so many allowed in a window, so many left, so long until it begins anew."""

    limit: int
    window_seconds: int
    left: int
    reset_seconds: int
    is_over: bool


def per_minute(count: int) -> RateLimitItem:
    """So many a minute."""
    return RateLimitItemPerMinute(count)


def per_hour(count: int) -> RateLimitItem:
    """So many an hour."""
    return RateLimitItemPerHour(count)


class RateLimiter:
    """Counts in sliding windows. `redis_url` may be empty: then each process counts alone."""

    def __init__(self, redis_url: str) -> None:
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = SlidingWindowCounterRateLimiter(_shared_storage(redis_url)) if redis_url else None
        self._resting_until = 0.0
        self._lock = threading.Lock()

    def take(self, limit: RateLimitItem, *whose: str) -> RateLimitState:
        """Count one request of `whose`, if it is still allowed."""
        if self._shared is not None and time.monotonic() >= self._resting_until:
            try:
                return _taken(self._shared, limit, whose)
            except StorageError as error:
                with self._lock:
                    if time.monotonic() >= self._resting_until:
                        log.warning("rates_counted_alone", error=type(error).__name__)
                    self._resting_until = time.monotonic() + REST_SECONDS
        return _taken(self._own, limit, whose)


def _taken(limiter: SlidingWindowCounterRateLimiter, limit: RateLimitItem, whose: tuple[str, ...]) -> RateLimitState:
    allowed = limiter.hit(limit, *whose)
    stats = limiter.get_window_stats(limit, *whose)
    reset_seconds = max(1, round(stats.reset_time - time.time()))
    return RateLimitState(
        limit.amount, limit.get_expiry(), stats.remaining if allowed else 0, reset_seconds, not allowed
    )


def _shared_storage(redis_url: str) -> RedisStorage:
    url = redis_url.replace("unix://", "redis+unix://", 1)
    return RedisStorage(
        url,
        key_prefix="tds:rates",
        wrap_exceptions=True,
        socket_timeout=PATIENCE_SECONDS,
        socket_connect_timeout=PATIENCE_SECONDS,
    )
