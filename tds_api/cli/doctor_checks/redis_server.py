"""Checks of Redis: reachable, evicts nothing, persists, and has room."""

from collections.abc import Iterator
from typing import Any

import redis

from tds_api.cli.doctor_checks.result import CheckResult, doubtful, embedded, place, well, wrong
from tds_core.config.settings import Settings
from tds_core.redis_client import redis_client
from tds_local.embedded import binaries

FULL_SHARE = 0.8


def redis_server(settings: Settings) -> Iterator[CheckResult]:
    """Whether Redis is as TDS needs it."""
    if not settings.redis_url:
        yield embedded("Redis", "TDS_REDIS_URL", binaries.redis_program)
        return
    where = place(settings, "TDS_REDIS_URL")
    client = redis_client(settings.redis_url, timeout_seconds=5, decode_responses=True)
    try:
        version = client.info("server")["redis_version"]
        yield well("Redis", f"{where}, version {version}")
        yield _policy(client)
        yield _room(client.info("memory"))
    except redis.RedisError as error:
        yield wrong("Redis", f"{where}: {error}", "Start it (tds up runs one), or correct TDS_REDIS_URL.")
    finally:
        client.close()


def _policy(client: redis.Redis) -> CheckResult:
    try:
        values = {**client.config_get("maxmemory-policy"), **client.config_get("appendonly")}
    except redis.ResponseError:  # hosted services forbid CONFIG
        says = "the server does not show its policy; it must be noeviction"
        return doubtful("Redis memory", says, "Look it up where Redis is hosted.")
    policy, persistent = values["maxmemory-policy"], values["appendonly"] == "yes"
    says = f"maxmemory-policy {policy}, append-only file {'on' if persistent else 'off'}"
    if policy != "noeviction":
        return wrong("Redis memory", says, "redis-cli CONFIG SET maxmemory-policy noeviction")
    return well("Redis memory", says if persistent else f"{says}: a restart costs one sweep, no data")


def _room(values: Any) -> CheckResult:
    limit, used = int(values.get("maxmemory", 0)), int(values["used_memory"])
    if not limit:
        return well("Redis room", f"{used / 1e6:,.0f} MB used, no limit")
    says = f"{used / 1e6:,.0f} of {limit / 1e6:,.0f} MB used"
    if used > FULL_SHARE * limit:
        return doubtful("Redis room", says, f"redis-cli CONFIG SET maxmemory {limit * 2}")
    return well("Redis room", says)
