"""Moments as people write them: a date, a time, or how long ago."""

import re
from datetime import UTC, datetime, timedelta

from tds_core.errors import ConfigError

_AGO = re.compile(r"(\d{1,6})\s*(s|min|h|d)")
_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}


def read_moment(written: str) -> datetime | None:
    """`2026-11-22`, `2026-11-22T09:30:00+03:00` (UTC where no zone is said), `15min`, `2h`, `3d`; None for nothing.

    Raises ConfigError.
    """
    if not written:
        return None
    if ago := _AGO.fullmatch(written.strip()):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(written.strip())
    except ValueError:
        raise ConfigError(
            f"{written[:40]!r} is no moment. Write 2026-11-22, 2026-11-22T09:30:00Z, or how long ago: 15min, 2h, 3d."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
