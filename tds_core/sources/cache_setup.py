"""Puts the cache of answers together from the settings."""

import redis

from tds_core.config import Settings
from tds_core.sources.cache import AnswerCache

# A Redis that is slower than this is as good as away.
REDIS_SECONDS = 0.5


def open_cache(settings: Settings) -> AnswerCache:
    """The cache all processes share; one that keeps nothing when no Redis is set. Asks nobody yet."""
    if not settings.redis_url:
        return AnswerCache(None)
    return AnswerCache(
        redis.Redis.from_url(settings.redis_url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS)
    )
