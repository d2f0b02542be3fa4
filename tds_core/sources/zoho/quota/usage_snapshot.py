"""Snapshot of used and remaining calls, from the shared counter in Redis."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import redis

from tds_core.errors import TdsError
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota.limits import APIS, Limits, next_midnight
from tds_core.sources.zoho.quota.redis_counter import KEYS, RedisCounter

#: Calls of other programs that share the organisation's quota.
OTHERS = "others"
Counts = Mapping[int, Mapping[str, int]]


class QuotaUnknownError(TdsError):
    """Redis, which holds the counts, does not answer."""

    code = "quota_unknown"
    retriable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitUsage:
    """Calls used of one limit. `limit`: what TDS uses of Zoho's, 0 without one. `ceilings`: by class of traffic."""

    used: int
    limit: int
    ceilings: Mapping[Traffic, int]

    @property
    def left(self) -> int | None:
        """Calls left for the most urgent class; None without a limit."""
        return max(0, self.limit - self.used) if self.limit else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayUsage:
    """One product's day. `minutes` and `hours`: calls by class, in spans numbered from the epoch.

    `told_limit`: the limit Zoho stated. `reset_told`: whether Zoho stated `resets_at`.
    """

    api: str
    level: LimitUsage
    by_class: Mapping[str, int]
    told_limit: int | None
    resets_at: datetime
    reset_told: bool
    spent_until: datetime | None
    minutes: Counts
    hours: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The whole quota at one moment."""

    at: datetime
    minute: LimitUsage
    concurrent: LimitUsage
    blocked_until: datetime | None = None
    lowered_until: datetime | None = None
    waiting: Mapping[Traffic, int] = field(default_factory=dict)
    days: Mapping[str, DayUsage] = field(default_factory=dict)


def read_usage(counter: RedisCounter, limits: Limits) -> Usage:
    """Read all counts in one round trip. Raises `QuotaUnknownError` when Redis is away."""
    pipe = counter.client.pipeline(transaction=False)
    pipe.time()
    common = dict(zip(KEYS, counter.keys(""), strict=True))
    for name in ("minute", "flying", "queue"):
        pipe.zrange(common[name], 0, -1, withscores=True)
    pipe.hgetall(common["state"])
    for api in APIS:
        for key in counter.keys(api)[-3:]:
            pipe.hgetall(key)
    try:
        redis_time, minute, flying, queue, state, *days = pipe.execute()
    except redis.RedisError as error:
        message = f"Redis, where calls are counted, does not answer ({type(error).__name__}): check TDS_REDIS_URL."
        raise QuotaUnknownError(message) from None
    now = counter.clock() if counter.clock else redis_time[0] + redis_time[1] / 1e6
    values = {key.decode(): float(value) for key, value in state.items()}
    return Usage(
        at=_moment(now),
        minute=_level(limits, limits.calls_per_minute, _alive(minute, now)),
        concurrent=_level(limits, limits.concurrent_calls, _alive(flying, now)),
        blocked_until=_coming(values.get("blocked_until"), now),
        lowered_until=_coming(values.get("lowered_until"), now),
        waiting={each: sum(int(score // 1e12) == each.rank for _, score in queue) for each in Traffic},
        days={api: _day(limits, api, days[3 * n : 3 * n + 3], now) for n, api in enumerate(APIS)},
    )


def empty_usage(limits: Limits, now: float) -> Usage:
    """The usage while there is no shared counter, or no limit."""
    return Usage(
        at=_moment(now),
        minute=_level(limits, limits.calls_per_minute, 0),
        concurrent=_level(limits, limits.concurrent_calls, 0),
        waiting=dict.fromkeys(Traffic, 0),
        days={api: _day(limits, api, [{}, {}, {}], now) for api in APIS},
    )


def _day(limits: Limits, api: str, read: list[dict[bytes, bytes]], now: float) -> DayUsage:
    day = {key.decode(): float(value) for key, value in read[0].items()}
    reset_at = day.get("reset_at", next_midnight(now, limits.zone))
    if now >= reset_at:  # no call since
        day = {name: value for name, value in day.items() if name in ("told_limit", "reset_told")}
    told = int(day["told_limit"]) if "told_limit" in day else None
    configured = limits.calls_per_day.get(api, 0)
    used = int(day.get("used", 0))
    ours = {each.value: int(day.get(each, 0)) for each in Traffic}
    return DayUsage(
        api=api,
        level=_level(limits, min(configured, told or configured), used),
        by_class={**ours, OTHERS: max(0, used - sum(ours.values()))},
        told_limit=told,
        resets_at=_moment(now + (reset_at - now) % limits.day_seconds),
        reset_told="reset_told" in day,
        spent_until=_coming(day.get("spent_until"), now),
        minutes=_counts(read[1]),
        hours=_counts(read[2]),
    )


def _level(limits: Limits, limit: int, used: int) -> LimitUsage:
    ceilings = {each: limits.ceiling(limit, each) for each in Traffic}
    return LimitUsage(used=used, limit=ceilings[Traffic.LIVE], ceilings=ceilings)


def _alive(scored: list[tuple[bytes, float]], now: float) -> int:
    return sum(until > now for _, until in scored)


def _counts(read: Mapping[bytes, bytes]) -> Counts:
    counts: dict[int, dict[str, int]] = {}
    for name, count in read.items():
        number, _, traffic = name.decode().partition("|")
        counts.setdefault(int(number), {})[traffic] = int(count)
    return counts


def _coming(moment: float | None, now: float) -> datetime | None:
    return _moment(moment) if moment and moment > now else None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
