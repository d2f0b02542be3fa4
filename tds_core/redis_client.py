"""Redis clients: one factory, so that no client waits longer than its caller allows."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

#: What a client raises while Redis is away, full, read-only or still loading.
REDIS_UNAVAILABLE = (redis.RedisError, OSError)


def redis_client(
    url: str, *, timeout_seconds: float, reconnects_once: bool = False, decode_responses: bool = False
) -> redis.Redis:
    """A client of the Redis at `url` that waits `timeout_seconds` for a connection and for each reply. Connects later.

    `reconnects_once`: in place of redis-py's own retries, one immediate retry after a lost connection (Redis closes
    idle ones) and none after a timeout. Raises `ValueError` for a malformed address.
    """
    retry = {"retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))} if reconnects_once else {}
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        decode_responses=decode_responses,
        **retry,
    )
