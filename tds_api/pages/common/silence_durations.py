"""Spans of time to choose from: some lengths, and until the next morning."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Final

from tds_api.pages.common.formats import duration
from tds_core.config.sources import zone_named

#: "For tonight" ends at this hour of the installation's zone; who asks before `_NIGHT_ENDS` still means this night.
_MORNING: Final = time(8)
_NIGHT_ENDS: Final = timedelta(hours=5)


def spans(seconds: Sequence[int]) -> list[tuple[int, str]]:
    """Lengths in seconds with their words, to choose from."""
    return [(each, str(duration(each))) for each in seconds]


def end_of_night(zone: str, now: datetime | None = None) -> datetime:
    """The end of "for tonight": eight in the morning of the next day, in `zone`."""
    here = (now or datetime.now(UTC)).astimezone(zone_named(zone))
    morning = (here - _NIGHT_ENDS).date() + timedelta(days=1)
    return datetime.combine(morning, _MORNING, here.tzinfo).astimezone(UTC)
