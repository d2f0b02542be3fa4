"""Redis clients: one factory, so that no client waits longer than its caller allows."""

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from tds_core.sentinel_addresses import is_sentinel, parse_sentinel

#: What a client raises while Redis is away, full, read-only or still loading.
REDIS_UNAVAILABLE = (redis.RedisError, OSError)


def redis_client(
    url: str, *, timeout_seconds: float, reconnects_once: bool = False, decode_responses: bool = False
) -> redis.Redis:
    """A client of the Redis at `url` that waits `timeout_seconds` for a connection and for each reply. Connects later.

    A `sentinel://` address is that of the master its Sentinels name, asked anew for every connection.
    `reconnects_once`: in place of redis-py's own retries, one immediate retry after a lost connection (Redis closes
    idle ones) and none after a timeout. Raises `ValueError` for a malformed address.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "decode_responses": decode_responses,
    }
    if reconnects_once:
        options["retry"] = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    if is_sentinel(url):
        return master_client(url, **options)
    return redis.Redis.from_url(url, **options)


def master_client(url: str, **options: Any) -> redis.Redis:
    """A client of the master that the Sentinels of `url` name. `options`: redis-py's, of its connections."""
    address = parse_sentinel(url)
    timeouts: dict[str, Any] = {
        name: options[name] for name in ("socket_timeout", "socket_connect_timeout") if name in options
    }
    kwargs: dict[str, Any] = {**timeouts, "password": address.sentinel_password, "retry": Retry(NoBackoff(), 0)}
    sentinel: Any = Sentinel(address.hosts, sentinel_kwargs=kwargs)  # type: ignore[no-untyped-call]
    client: redis.Redis = sentinel.master_for(
        address.master_name,
        db=address.database,
        username=address.username,
        password=address.password,
        **options,
    )
    return client
