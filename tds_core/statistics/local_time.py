"""Hours and days of the installation's time zone, as moments in UTC. It reads no clock."""

from datetime import UTC, date, datetime, time, timedelta

from tds_core.config.sources import zone_named
from tds_core.errors import TdsError

LONGEST_HISTORY_DAYS = 366


class InvalidSpanError(TdsError):
    """A history of this length cannot be shown."""

    code = "invalid_span"


def hour_begins(moment: datetime, zone: str) -> datetime:
    """The begin of the local hour of `moment`; zones that are half an hour off have hours of their own."""
    local = moment.astimezone(zone_named(zone))
    return local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)


def local_day(moment: datetime, zone: str) -> date:
    """The calendar day on which `moment` falls there."""
    return moment.astimezone(zone_named(zone)).date()


def day_begins(day: date, zone: str) -> datetime:
    """The first moment of a local day."""
    return datetime.combine(day, time.min, zone_named(zone)).astimezone(UTC)


def day_bounds(day: date, zone: str) -> tuple[datetime, datetime]:
    """Begin and end of a local day: 24 hours apart, 23 or 25 where clocks are changed."""
    return day_begins(day, zone), day_begins(day + timedelta(days=1), zone)


def local_days(now: datetime, count: int, zone: str) -> list[date]:
    """The last `count` local days, the oldest first, the present one included. Raises InvalidSpanError."""
    if not 1 <= count <= LONGEST_HISTORY_DAYS:
        raise InvalidSpanError(f"A history has 1 to {LONGEST_HISTORY_DAYS} days, not {count}.")
    last = local_day(now, zone)
    return [last - timedelta(days=back) for back in reversed(range(count))]
