"""What Zoho allows and how TDS divides it: limits, safety margin, reserved shares, and when a day begins anew.

What an answer of Zoho tells about its limits: the headers of the day's quota, and which limit refused a call.

One call on its way through the quota: who wants it, and what the ledger that counts calls say to it.
"""

import math
from collections.abc import Mapping
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
    """What one answer told; what it left out is `None`. `code` is 0 unless a limit refused the call."""

    code: int = 0
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None
    wait_seconds: float | None = None


NOTHING = RateLimitHeaders()


def read(status: int, headers: Mapping[str, str], code: int) -> RateLimitHeaders:
    """What an answer tells. Header names may have any case; numbers that make no sense count as absent."""
    params = {name.lower(): value for name, value in headers.items()}
    limit, remaining = _number(params.get("x-rate-limit-limit")), _number(params.get("x-rate-limit-remaining"))
    reset = _number(params.get("x-rate-limit-reset"))
    sensible = limit is not None and remaining is not None and limit > 0 and 0 <= remaining <= limit
    return RateLimitHeaders(
        code=_refused_by(status, code),
        limit=int(limit) if sensible and limit is not None else None,
        remaining=int(remaining) if sensible and remaining is not None else None,
        reset_seconds=reset if reset is not None and 0 <= reset <= _LONGEST_RESET_SECONDS else None,
        wait_seconds=_number(params.get("retry-after")),
    )


def _refused_by(status: int, code: int) -> int:
    """The limit that refused, whatever the status. A 429 that does not say which is taken for the minute's."""
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
    """What the ledger says to a call."""

    GO = "go"
    WAIT = "wait"  # its turn comes within its patience
    RATE = "rate"  # not soon: this minute, or the calls at once
    DAY = "day"  # not today


@dataclass(frozen=True, slots=True)
class Call:
    """A call that wants to be made. It keeps its id, and with it its place, while it waits."""

    id: str
    api: str
    traffic: Traffic


class AdmissionReply(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger says: the verdict, why, in how many seconds to ask again, and which day of theirs it is."""

    verdict: Admission
    wait_seconds: float = 0.0
    why: str = ""
    born: str = ""
    day: int = 0
    day_used: int = 0


class CallCounter(Protocol):
    """The ledger that counts calls: those all processes share, or one process's own."""

    def admit(self, call: Call, *, wait_seconds: float) -> AdmissionReply:
        """Count `call` if it may be made now. `wait_seconds`: how long it is ready to wait."""
        ...

    def answer(self, call: Call, day: int, told: RateLimitHeaders) -> None:
        """The call is over; `day` is the day of its admission."""
        ...


DAY_SECONDS = 86_400.0
APIS = ("books", "inventory")
# Back-fill is put off at no cost, so it keeps no worker waiting.
BACKFILL_WAIT_SECONDS = 0.25
# After this many times the longest call somebody must have died with the slot.
LEASE_FACTOR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Zoho's limits, 0 where there is none, and the shares of them. A window is shorter only where time is compressed.

    `reserved` is the share of the whole that a class keeps from all the classes below it.
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
    def exist(self) -> bool:
        """Whether anything is limited at all."""
        return bool(self.calls_per_minute or self.concurrent_calls or any(self.calls_per_day.values()))

    def share(self, traffic: Traffic) -> float:
        """The share of a limit up to which calls of `traffic` are admitted, all classes' calls counted."""
        above = sum(self.reserved.get(each, 0.0) for each in Traffic if each.rank < traffic.rank)
        return (1 - self.margin) * (1 - above)

    def ceiling(self, limit: int, traffic: Traffic) -> int:
        """How many of `limit` may be taken when a call of `traffic` is admitted; at least one, 0 without a limit."""
        return max(1, math.floor(limit * self.share(traffic) + 1e-9)) if limit else 0

    def patience(self, traffic: Traffic) -> float:
        """How long a call of `traffic` waits for its turn before it is put off, in seconds."""
        return min(self.wait_seconds, BACKFILL_WAIT_SECONDS) if traffic is Traffic.BACKFILL else self.wait_seconds


def limits_of(settings: Settings) -> Limits:
    """The limits an operator set."""
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
