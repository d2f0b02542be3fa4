"""What Zoho allows and how TDS divides it: limits, safety margin, reserved shares, and when a day begins anew."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo

from tds_core.config import Settings
from tds_core.environment import zone_named
from tds_core.sources.traffic import Traffic

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
