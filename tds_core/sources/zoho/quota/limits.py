"""Zoho's limits and how TDS divides them: rate-limit headers, admissions, margin, shares, and the end of a day."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum
from typing import Protocol

import msgspec

from tds_core.config.settings import Settings
from tds_core.config.sources import zone_named
from tds_core.sources.base import Traffic

DAY_SPENT, TOO_MANY_AT_ONCE, MINUTE_BLOCKED = 45, 1070, 44
_LONGEST_RESET_SECONDS = 2 * 86_400.0


class RateLimitHeaders(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The rate-limit headers of one response, None where absent. `code`: the limit that refused the call, else 0."""

    code: int = 0
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None
    wait_seconds: float | None = None


NO_HEADERS = RateLimitHeaders()


def read_headers(status: int, headers: Mapping[str, str], code: int) -> RateLimitHeaders:
    """Read the rate-limit headers of a response. Names may have any case; implausible numbers count as absent."""
    by_name = {name.lower(): value for name, value in headers.items()}
    limit, remaining = _number(by_name.get("x-rate-limit-limit")), _number(by_name.get("x-rate-limit-remaining"))
    reset = _number(by_name.get("x-rate-limit-reset"))
    sensible = limit is not None and remaining is not None and limit > 0 and 0 <= remaining <= limit
    return RateLimitHeaders(
        code=_refused_by(status, code),
        limit=int(limit) if sensible and limit is not None else None,
        remaining=int(remaining) if sensible and remaining is not None else None,
        reset_seconds=reset if reset is not None and 0 <= reset <= _LONGEST_RESET_SECONDS else None,
        wait_seconds=_number(by_name.get("retry-after")),
    )


def _refused_by(status: int, code: int) -> int:
    """The code of the limit that refused; a 429 without a code counts as the limit per minute."""
    if code in (DAY_SPENT, TOO_MANY_AT_ONCE, MINUTE_BLOCKED):
        return code
    return MINUTE_BLOCKED if status == 429 else 0


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if number >= 0 and number < float("inf") else None


class Admission(StrEnum):
    """The decision about a call."""

    GO = "go"
    WAIT = "wait"  # it can be made within its longest wait
    RATE = "rate"  # refused: the limit per minute, or of concurrent calls
    DAY = "day"  # refused: the limit per day


@dataclass(frozen=True, slots=True)
class Call:
    """A call that requests admission; its id keeps its place in the queue while it waits."""

    id: str
    api: str
    traffic: Traffic


class AdmissionReply(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to a request for admission: the decision and its reason, when to ask again, and the number of the day.

    `born`: the id of the counter's state, by which a wiped Redis is recognised. `day_used`: calls counted today.
    """

    verdict: Admission
    wait_seconds: float = 0.0
    why: str = ""
    born: str = ""
    day: int = 0
    day_used: int = 0


class CallCounter(Protocol):
    """A counter of calls, shared by all processes or of one process."""

    def admit(self, call: Call, *, wait_seconds: float) -> AdmissionReply:
        """Count `call` if it may be made now. `wait_seconds`: how long it will wait at most."""
        ...

    def record_response(self, call: Call, day: int, headers: RateLimitHeaders) -> None:
        """Record the end of a call; `day` is the number of the day it was admitted on."""
        ...


DAY_SECONDS = 86_400.0
APIS = ("books", "inventory")
# Putting these off costs nothing, so they hardly wait.
PATIENT = frozenset({Traffic.BACKFILL, Traffic.COMPARISON})
PATIENT_WAIT_SECONDS = 0.25
# A slot for a concurrent call expires after so many times the longest call.
LEASE_FACTOR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Zoho's limits (0: none) and how TDS divides them.

    `margin`: share of each limit left unused. `reserved`: share that a class of traffic keeps from less urgent classes.
    `minute_seconds`, `day_seconds`: shorter than real ones only where time is compressed.
    """

    calls_per_minute: int = 0
    calls_per_day: Mapping[str, int] = field(default_factory=dict)
    concurrent_calls: int = 0
    margin: float = 0.0
    reserved: Mapping[Traffic, float] = field(default_factory=dict)
    wait_seconds: float = 5.0
    lease_seconds: float = 70.0
    zone: tzinfo = UTC
    minute_seconds: float = 60.0
    day_seconds: float = DAY_SECONDS

    @property
    def is_set(self) -> bool:
        """Whether any limit is set."""
        return bool(self.calls_per_minute or self.concurrent_calls or any(self.calls_per_day.values()))

    def share(self, traffic: Traffic) -> float:
        """The share of a limit up to which calls of `traffic` are admitted, counting calls of all classes."""
        above = sum(self.reserved.get(each, 0.0) for each in Traffic if each.rank < traffic.rank)
        return (1 - self.margin) * (1 - above)

    def ceiling(self, limit: int, traffic: Traffic) -> int:
        """The number of calls up to which calls of `traffic` are admitted; at least 1, 0 without a limit."""
        return max(1, math.floor(limit * self.share(traffic) + 1e-9)) if limit else 0

    def longest_wait(self, traffic: Traffic) -> float:
        """How many seconds a call of `traffic` waits before it is put off."""
        return min(self.wait_seconds, PATIENT_WAIT_SECONDS) if traffic in PATIENT else self.wait_seconds


#: Limits, or a function that reads those in force: operators may change them while TDS runs.
GivenLimits = Limits | Callable[[], Limits]


def limits_in_force(given: GivenLimits) -> Limits:
    """The limits as they are now."""
    return given if isinstance(given, Limits) else given()


def limits_of(settings: Settings) -> Limits:
    """The limits in the settings."""
    percent = {
        Traffic.LIVE: settings.zoho_reserved_live_percent,
        Traffic.OPERATOR: settings.zoho_reserved_operator_percent,
        Traffic.SCHEDULED: settings.zoho_reserved_scheduled_percent,
    }
    return Limits(
        calls_per_minute=settings.zoho_calls_per_minute,
        calls_per_day={
            "books": settings.zoho_books_calls_per_day,
            "inventory": settings.zoho_inventory_calls_per_day,
        },
        concurrent_calls=settings.zoho_concurrent_calls,
        margin=settings.zoho_quota_margin_percent / 100,
        reserved={traffic: share / 100 for traffic, share in percent.items()},
        wait_seconds=settings.zoho_quota_wait_seconds,
        lease_seconds=LEASE_FACTOR * (settings.http_timeout_seconds + settings.http_connect_seconds),
        zone=zone_named(settings.zoho_quota_zone),
        minute_seconds=60.0 / settings.zoho_quota_speed,
        day_seconds=DAY_SECONDS / settings.zoho_quota_speed,
    )


def next_midnight(now: float, zone: tzinfo) -> float:
    """When the next day begins in `zone`; both moments in seconds of the epoch."""
    tomorrow = datetime.fromtimestamp(now, zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), zone).timestamp()
