"""The organisation's clock: whole seconds that never run backwards, written in the organisation's zone."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(Z|[+-]\d\d:?\d\d)?$")


def zone_of(offset: str) -> timezone:
    """The fixed zone of an offset like `+0300`; ValueError for anything else."""
    match = re.fullmatch(r"([+-])(\d\d):?(\d\d)", offset)
    if match is None:
        raise ValueError(f"not an offset like +0300: {offset!r}")
    sign = -1 if match[1] == "-" else 1
    return timezone(sign * timedelta(hours=int(match[2]), minutes=int(match[3])))


class OrgClock:
    """Tells, writes and reads time the way the organisation does (`yyyy-MM-ddTHH:mm:ss+0300`)."""

    def __init__(self, offset: str = "+0300", source: Callable[[], float] = time.time) -> None:
        self.offset = offset
        self.zone = zone_of(offset)
        self.source = source
        self._latest = 0

    def now(self) -> int:
        """Epoch seconds, whole, and never smaller than an earlier answer."""
        self._latest = max(self._latest, int(self.source()))
        return self._latest

    def stamp(self, epoch: int) -> str:
        return datetime.fromtimestamp(epoch, self.zone).isoformat()[:19] + self.offset

    def date(self, epoch: float) -> str:
        return datetime.fromtimestamp(epoch, self.zone).isoformat()[:10]

    def midnight(self, epoch: float) -> int:
        """The start of the organisation's day that `epoch` falls in."""
        start = datetime.fromtimestamp(epoch, self.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        return int(start.timestamp())

    def day_start(self, date: str) -> int:
        """Epoch of a day's first second in the organisation's zone; ValueError when it is no date."""
        return int(datetime.fromisoformat(date).replace(tzinfo=self.zone).timestamp())

    def parse(self, text: str) -> int:
        """Epoch of a written time; a missing zone means the organisation's. ValueError when it is no time."""
        match = _STAMP.fullmatch(text)
        if match is None:
            raise ValueError(f"not a time: {text!r}")
        zone = match[3] or self.offset
        tz = UTC if zone == "Z" else zone_of(zone)
        return int(datetime.fromisoformat(f"{match[1]}T{match[2]}").replace(tzinfo=tz).timestamp())


class FastClock:
    """Time that goes by `speed` times as fast from when it was set; it never jumps."""

    def __init__(self, source: Callable[[], float], speed: float = 1.0) -> None:
        now = source()
        self._source = source
        # What was told at which real time, and how fast it goes on since: replaced as one.
        self._pace = (now, now, speed)

    def __call__(self) -> float:
        told, real, speed = self._pace
        return told + (self._source() - real) * speed

    @property
    def speed(self) -> float:
        """How many seconds go by in one."""
        return self._pace[2]

    def set_speed(self, speed: float) -> None:
        """Go on from now at another speed; ValueError unless it is above nought."""
        if speed <= 0:
            raise ValueError("the speed must be above nought")
        self._pace = (self(), self._source(), speed)
