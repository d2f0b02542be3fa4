"""Rate limits: sliding windows counted in Redis for all processes, or by each process alone while Redis is away."""

import threading
import time
from dataclasses import dataclass
from typing import Any

import structlog
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from tds_core.redis_client import master_client
from tds_core.sentinel_addresses import is_sentinel

log = structlog.get_logger(__name__)

#: After Redis failed it is not used for so long, so that its absence slows one request, not all of them.
REST_SECONDS = 5.0
#: The timeout of a call to Redis.
PATIENCE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class RateLimitState:
    """A limit after a request: how many a window allows, how many are left, and how long until it begins anew."""

    limit: int
    window_seconds: int
    left: int
    reset_seconds: int
    is_over: bool


def per_minute(count: int) -> RateLimitItem:
    """A limit of `count` requests a minute."""
    return RateLimitItemPerMinute(count)


def per_hour(count: int) -> RateLimitItem:
    """A limit of `count` requests an hour."""
    return RateLimitItemPerHour(count)


class RateLimiter:
    """Counts requests in sliding windows; with an empty `redis_url` each process counts alone."""

    def __init__(self, redis_url: str) -> None:
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._redis = SlidingWindowCounterRateLimiter(_redis_storage(redis_url)) if redis_url else None
        self._resting_until = 0.0
        self._lock = threading.Lock()

    def take(self, limit: RateLimitItem, *whose: str) -> RateLimitState:
        """Count one request of the caller `whose`, if the limit still allows it."""
        if self._redis is not None and time.monotonic() >= self._resting_until:
            try:
                return _hit(self._redis, limit, whose)
            except StorageError as error:
                with self._lock:
                    if time.monotonic() >= self._resting_until:
                        log.warning("rates_counted_alone", error=type(error).__name__)
                    self._resting_until = time.monotonic() + REST_SECONDS
        return _hit(self._local, limit, whose)


def _hit(limiter: SlidingWindowCounterRateLimiter, limit: RateLimitItem, whose: tuple[str, ...]) -> RateLimitState:
    allowed = limiter.hit(limit, *whose)
    stats = limiter.get_window_stats(limit, *whose)
    reset_seconds = max(1, round(stats.reset_time - time.time()))
    return RateLimitState(
        limit.amount, limit.get_expiry(), stats.remaining if allowed else 0, reset_seconds, not allowed
    )


def _redis_storage(redis_url: str) -> RedisStorage:
    timeouts: dict[str, Any] = {"socket_timeout": PATIENCE_SECONDS, "socket_connect_timeout": PATIENCE_SECONDS}
    if is_sentinel(redis_url):
        pool = master_client(redis_url, **timeouts).connection_pool
        return RedisStorage("redis://", connection_pool=pool, key_prefix="tds:rates", wrap_exceptions=True)
    url = redis_url.replace("unix://", "redis+unix://", 1)
    return RedisStorage(url, key_prefix="tds:rates", wrap_exceptions=True, **timeouts)
