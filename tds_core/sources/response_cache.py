"""The cache of answers: what a source last said of single records, so that people who look do not use up its quota.

Never for syncing, which must see the newest. An answer is good for its entity's time, and only while the database knows
of nothing newer: the caller is asked that. Redis away means no cache, not an error.

Puts the cache of answers together from the settings.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec
import redis
import structlog
from redis.exceptions import LockError

from tds_core.config.settings import Settings
from tds_core.observability import metrics
from tds_core.redis_client import REDIS_UNAVAILABLE, redis_client
from tds_models.entities.base import Entity

log = structlog.get_logger(__name__)

COUNTS_KEY = "tds:answers"
# Whoever asks for the same record waits so long for the one who is asking, then asks as well.
WAIT_SECONDS = 10.0
# The right to ask ends by itself when its holder died.
ASKING_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """What a source said of a record: its JSON, or that there is none; when it was asked, by the database's clock."""

    record: bytes | None
    asked_at: datetime
    is_cached: bool = False


class ResponseCache:
    """Answers in Redis for all processes; without `client` every question is asked."""

    def __init__(self, client: redis.Redis | None) -> None:
        self._client = client

    def answer(
        self,
        entity: Entity,
        source_id: str,
        *,
        ask: Callable[[], CachedResponse],
        is_current: Callable[[datetime], bool],
    ) -> CachedResponse:
        """The answer about a record: a kept one that `is_current` since it was asked for, else what `ask` brings.

        Of many who ask for one record at once, one asks the source. Raises what `ask` and `is_current` raise.
        """
        key = f"tds:answer:{entity.stream.source}:{entity.name}:{source_id}"
        found = self._kept(key)
        if found is None or not is_current(found.asked_at):
            with self._asking(key):
                found = self._kept(key)  # somebody may have asked while we waited
                if found is None or not is_current(found.asked_at):
                    found = ask()
                    self._keep(key, found, entity.cached_seconds)
        self._count(entity, "cached" if found.is_cached else "asked")
        return found

    def counts(self) -> dict[str, int] | None:
        """How often an answer was cached or asked for since Redis began; `None` while Redis is away."""
        if self._client is None:
            return None
        try:
            found = self._client.hgetall(COUNTS_KEY)
        except REDIS_UNAVAILABLE:
            return None
        return {"cached": 0, "asked": 0, **{key.decode(): int(count) for key, count in found.items()}}  # type: ignore[union-attr]

    def _kept(self, key: str) -> CachedResponse | None:
        try:
            raw = self._client.get(key) if self._client else None
        except REDIS_UNAVAILABLE as error:
            log.warning("answer_cache_away", error=type(error).__name__)
            return None
        if not raw:
            return None
        return replace(msgspec.msgpack.decode(raw, type=CachedResponse), is_cached=True)  # type: ignore[arg-type]

    def _keep(self, key: str, answer: CachedResponse, seconds: int) -> None:
        if self._client:
            try:
                self._client.set(key, msgspec.msgpack.encode(answer), ex=seconds)
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
    def _asking(self, key: str) -> Iterator[None]:
        """Be the one who asks; after a while, or without Redis, be one of several."""
        lock = self._client.lock(f"{key}:asking", timeout=ASKING_SECONDS, sleep=0.02) if self._client else None
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


# A Redis that is slower than this is as good as away.
REDIS_SECONDS = 0.5


def open_cache(settings: Settings) -> ResponseCache:
    """The cache all processes share; one that keeps nothing when no Redis is set. Asks nobody yet."""
    if not settings.redis_url:
        return ResponseCache(None)
    return ResponseCache(redis_client(settings.redis_url, timeout_seconds=REDIS_SECONDS))
