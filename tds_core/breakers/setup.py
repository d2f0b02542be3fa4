"""Puts a process's breakers together from the settings."""

from dataclasses import replace

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tds_core.breakers.breakers import Breakers
from tds_core.breakers.rules import Rules
from tds_core.config import Settings

# A breaker that waits for Redis would be the outage it is there to contain.
REDIS_SECONDS = 0.25

#: The breaker of the database, which only reports: see docs/adr/0008.
DATABASE = "database"
# Nobody is refused by it, so it looks again soon.
DATABASE_RULES = Rules(open_seconds=1.0, open_most_seconds=5.0, successes=1, probe_seconds=5.0)

#: The breaker of the token endpoint: while it is open nothing is read at all, so it is probed within seconds.
TOKENS = "zoho.token"
TOKENS_OPEN_SECONDS, TOKENS_OPEN_MOST_SECONDS = 10.0, 30.0


def open_breakers(settings: Settings) -> Breakers:
    """The breakers of all processes that share `TDS_REDIS_URL`; of this one alone when it is unset. Asks nobody yet."""
    rules = Rules(
        failures=settings.breaker_failures,
        failure_percent=settings.breaker_failure_percent,
        least_calls=settings.breaker_least_calls,
        window_seconds=settings.breaker_window_seconds,
        open_seconds=settings.breaker_open_seconds,
        open_most_seconds=settings.breaker_open_most_seconds,
        successes=settings.breaker_successes,
        # Or a second one would start while the first still waits for its answer.
        probe_seconds=max(
            settings.breaker_probe_seconds, settings.http_timeout_seconds + settings.http_connect_seconds
        ),
    )
    tokens = replace(
        rules,
        open_seconds=min(rules.open_seconds, TOKENS_OPEN_SECONDS),
        open_most_seconds=min(rules.open_most_seconds, TOKENS_OPEN_MOST_SECONDS),
    )
    client = _client(settings.redis_url) if settings.redis_url else None
    return Breakers(client, rules, special={DATABASE: DATABASE_RULES, TOKENS: tokens})


def _client(url: str) -> redis.Redis:
    # One more try at once, for a connection Redis closed while nobody used it; none after a silence.
    again = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    return redis.Redis.from_url(url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS, retry=again)
