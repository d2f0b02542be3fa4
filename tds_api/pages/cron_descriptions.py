"""Schedules in words: "every 15 minutes", "daily at 03:00"; what has no short words stays as it is written."""

from collections.abc import Sequence
from typing import Final

from tds_api.pages.common.i18n import gettext, ngettext

_EVERY: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
_SHORT_FIELDS, _LONG_FIELDS = 5, 6
_SUNDAY_TOO = 7


def describe_schedule(rhythm: str) -> str:
    """The schedule in words, with its time zone; `rhythm` itself where there are no short words for it."""
    if rhythm.startswith("every:"):
        seconds = rhythm.removeprefix("every:")
        return _every(int(seconds)) if seconds.isdigit() and int(seconds) else rhythm
    fields = rhythm.split()
    if len(fields) not in (_SHORT_FIELDS, _LONG_FIELDS):
        return rhythm
    zone = fields[_SHORT_FIELDS] if len(fields) == _LONG_FIELDS else "UTC"
    words = _cron(*fields[:_SHORT_FIELDS])
    if words is None:
        return rhythm
    return words if fields[1] == "*" else f"{words} {zone}"


def _every(seconds: int) -> str:
    size, unit = next(step for step in _EVERY if seconds % step[0] == 0)
    count = seconds // size
    text = {
        "day": ngettext("every day", "every %(count)s days", count),
        "hour": ngettext("every hour", "every %(count)s hours", count),
        "minute": ngettext("every minute", "every %(count)s minutes", count),
        "second": ngettext("every second", "every %(count)s seconds", count),
    }[unit]
    return text % {"count": count}


def _cron(minute: str, hour: str, day: str, month: str, weekday: str) -> str | None:
    if month != "*" or (day != "*" and weekday != "*"):
        return None
    if day == weekday == "*" and (often := _often(minute, hour)):
        return often
    times = _times(minute, hour)
    if times is None:
        return None
    if weekday != "*":
        days = _weekdays(weekday)
        return gettext("%(days)s at %(times)s") % {"days": days, "times": times} if days else None
    if day != "*":
        return (
            gettext("on day %(day)s of each month at %(times)s") % {"day": day, "times": times}
            if day.isdigit()
            else None
        )
    return gettext("daily at %(times)s") % {"times": times}


def _often(minute: str, hour: str) -> str | None:
    """What happens at least once an hour, or every few hours."""
    minutes, hours = _step(minute, 60), _step(hour, 24)
    if hours == 1 and minutes:
        return _every(60 * minutes)
    if not hours or not minute.isdigit():
        return None
    at = {"count": hours, "minute": minute.zfill(2)}
    return ngettext("every hour at :%(minute)s", "every %(count)s hours at :%(minute)s", hours) % at


def _step(field: str, whole: int) -> int | None:
    """The step of a field that divides its `whole` evenly: 1 of `*`, 15 of `*/15`; None of any other."""
    step = 1 if field == "*" else int(field[2:]) if field.startswith("*/") and field[2:].isdigit() else 0
    return step if step and whole % step == 0 else None


def _times(minute: str, hour: str) -> str | None:
    """Times of the day: 03:00, or 03:00, 15:00."""
    hours = hour.split(",")
    if not minute.isdigit() or not all(each.isdigit() for each in hours):
        return None
    return ", ".join(f"{each.zfill(2)}:{minute.zfill(2)}" for each in hours)


def _weekdays(field: str) -> str | None:
    names = _weekday_names()
    begin, dash, end = field.partition("-")
    if dash:
        if not _is_weekday(begin) or not _is_weekday(end):
            return None
        return gettext("%(first)s to %(last)s") % {"first": names[int(begin) % 7], "last": names[int(end) % 7]}
    days = field.split(",")
    return ", ".join(names[int(each) % 7] for each in days) if all(map(_is_weekday, days)) else None


def _is_weekday(text: str) -> bool:
    return text.isdigit() and int(text) <= _SUNDAY_TOO


def _weekday_names() -> Sequence[str]:
    return (
        gettext("Sunday"), gettext("Monday"), gettext("Tuesday"), gettext("Wednesday"), gettext("Thursday"),
        gettext("Friday"), gettext("Saturday"),
    )  # fmt: skip
