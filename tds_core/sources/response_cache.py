"""The cache of single records read for people, so that views do not use up the source's quota.

Syncing never uses it. A cached response is valid for its entity's `cached_seconds`, and only while the caller's
`is_current` holds. Without Redis every response is read from the source.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypedDict

import msgspec
import redis
import structlog
from redis.exceptions import LockError

from tds_core.config.settings import Settings
from tds_core.observability import metrics
from tds_core.redis_client import REDIS_UNAVAILABLE, redis_client
from tds_models.entities.declaration import Entity

log = structlog.get_logger(__name__)

COUNTS_KEY = "tds:answers"
# How long a caller waits for another one's read of the same record before it reads the record itself.
WAIT_SECONDS = 10.0
# Expiry of the lock on a read, for holders that died.
LOCK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """A record as read from the source, None if it has none; `asked_at`: when, by the database's clock."""

    record: bytes | None
    asked_at: datetime
    is_cached: bool = False


class ResponseCounts(TypedDict):
    """How many responses came from the cache, and how many from the source."""

    cached: int
    asked: int


class ResponseCache:
    """Responses cached in Redis for all processes; without `client` nothing is cached."""

    def __init__(self, client: redis.Redis | None) -> None:
        self._client = client

    def get(
        self,
        entity: Entity,
        source_id: str,
        *,
        ask: Callable[[], CachedResponse],
        is_current: Callable[[datetime], bool],
    ) -> CachedResponse:
        """A cached response for which `is_current(asked_at)` holds, else the result of `ask()`, which is cached.

        Of concurrent calls for one record only one reads the source. Raises what `ask` and `is_current` raise.
        """
        key = f"tds:answer:{entity.stream.source}:{entity.name}:{source_id}"
        response = self._cached(key)
        if response is None or not is_current(response.asked_at):
            with self._lock(key):
                response = self._cached(key)  # another caller may have read it meanwhile
                if response is None or not is_current(response.asked_at):
                    response = ask()
                    self._store(key, response, entity.cached_seconds)
        self._count(entity, "cached" if response.is_cached else "asked")
        return response

    def counts(self) -> ResponseCounts | None:
        """The numbers of responses by origin; None while Redis is away."""
        if self._client is None:
            return None
        try:
            counts = self._client.hgetall(COUNTS_KEY)
        except REDIS_UNAVAILABLE:
            return None
        by_origin = {key.decode(): int(count) for key, count in counts.items()}  # type: ignore[union-attr]
        return {"cached": by_origin.get("cached", 0), "asked": by_origin.get("asked", 0)}

    def _cached(self, key: str) -> CachedResponse | None:
        try:
            raw = self._client.get(key) if self._client else None
        except REDIS_UNAVAILABLE as error:
            log.warning("answer_cache_away", error=type(error).__name__)
            return None
        if not raw:
            return None
        return replace(msgspec.msgpack.decode(raw, type=CachedResponse), is_cached=True)  # type: ignore[arg-type]

    def _store(self, key: str, response: CachedResponse, seconds: int) -> None:
        if self._client:
            try:
                self._client.set(key, msgspec.msgpack.encode(response), ex=seconds)
            except REDIS_UNAVAILABLE as error:
                log.warning("answer_cache_away", error=type(error).__name__)

    def _count(self, entity: Entity, result: str) -> None:
        metrics.live_reads.labels(entity.name, result).inc()
        if self._client:
            try:
                self._client.hincrby(COUNTS_KEY, result, 1)
            except REDIS_UNAVAILABLE:
                return

    @contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        """Hold the lock on reading a record; after WAIT_SECONDS, or without Redis, go on without it."""
        lock = self._client.lock(f"{key}:asking", timeout=LOCK_SECONDS, sleep=0.02) if self._client else None
        try:
            is_held = bool(lock and lock.acquire(blocking_timeout=WAIT_SECONDS))
        except REDIS_UNAVAILABLE:
            is_held = False
        try:
            yield
        finally:
            if lock and is_held:
                try:
                    lock.release()
                except (*REDIS_UNAVAILABLE, LockError):
                    log.warning("answer_cache_away", error="could not give back the right to ask")


# A slower Redis counts as unavailable.
REDIS_SECONDS = 0.5


def open_cache(settings: Settings) -> ResponseCache:
    """The cache shared by all processes; without TDS_REDIS_URL nothing is cached. Connects at first use."""
    if not settings.redis_url:
        return ResponseCache(None)
    return ResponseCache(redis_client(settings.redis_url, timeout_seconds=REDIS_SECONDS))
