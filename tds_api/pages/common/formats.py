"""Formats of the pages: moments, durations, counts, shares, ids and the words of states, as HTML that is escaped."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from markupsafe import Markup

from tds_api.pages.common.i18n import gettext

#: The tone of a word: good, warn or bad decide the colour and the sign before it; all else is neutral.
_TONES: Final = {
    "good": "ok completed applied connected resolved closed delivered done created updated unchanged running"
    " active equal proven success succeeded acknowledged sent healthy lasts pass listening",
    "warn": "warning degraded held pending paused waiting half_open retrying being_retried snoozed flapping stale"
    " suspect queued no_data unconfirmed owed different only_there only_here unproven quarantined"
    " rate_limited cancelled skipped not_proven busy reported under_way",
    "bad": "critical error failed dead refused rejected firing open unhealthy down invalid missing dead_letter"
    " differs broken revoked disabled failing runs_out fail lost silent deaf gone given_up",
}
_TONE_OF: Final = {word: tone for tone, words in _TONES.items() for word in words.split()}
_NOTHING: Final = Markup('<span class="none">&ndash;</span>')
_STEPS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def moment(value: Any) -> Markup:
    """A moment: absolute without JavaScript, in UTC; the script adds the reader's zone and how long ago it was."""
    if not value:
        return _NOTHING
    at = (value if isinstance(value, datetime) else datetime.fromisoformat(str(value))).astimezone(UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(f"{at:%Y-%m-%dT%H:%M:%S}Z", f"{at:%Y-%m-%d %H:%M:%S}")


def duration(seconds: Any) -> str | Markup:
    """Seconds in words of one or two units: 340 ms, 12 s, 3 min 20 s, 2 h 5 min, 4 d 3 h."""
    if seconds is None:
        return _NOTHING
    value = float(seconds)
    if abs(value) < 1:
        return f"{value * 1000:.0f} ms"
    if abs(value) < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    smaller = {"d": (3_600, "h"), "h": (60, "min"), "min": (1, "s")}
    size, unit = next(step for step in _STEPS if abs(value) >= step[0])
    whole, rest = divmod(value, size)
    part, name = smaller[unit]
    return f"{whole:.0f} {unit} {rest // part:.0f} {name}" if rest >= part else f"{whole:.0f} {unit}"


def count(value: Any) -> str | Markup:
    """A whole number with groups of three."""
    return _NOTHING if value is None else f"{int(value):,}"


def number(value: Any, digits: int = 1) -> str | Markup:
    """A number with so many digits after the point."""
    return _NOTHING if value is None else f"{Decimal(str(value)):,.{digits}f}"


def percent(value: Any, digits: int = 1) -> str | Markup:
    """A percentage; 100 % only of what is whole."""
    if value is None:
        return _NOTHING
    share = float(value)
    if share < 100 and round(share, digits) >= 100:
        return f"> {100 - 10**-digits:.{digits}f} %"
    return f"{share:.{digits}f} %".replace(".0 %", " %")


def tone(state: Any) -> str:
    """The tone of a state: good, warn, bad, or neutral."""
    return _TONE_OF.get(str(state or "").lower(), "neutral")


def word(state: Any) -> str | Markup:
    """A state as a reader says it."""
    return _NOTHING if state in (None, "") else gettext(str(state).replace("_", " "))


def badge(state: Any) -> Markup:
    """A state with its tone."""
    if state in (None, ""):
        return _NOTHING
    return Markup('<span class="badge {}">{}</span>').format(tone(state), word(state))


def ident(value: Any) -> Markup:
    """An id, which a click copies."""
    if value in (None, ""):
        return _NOTHING
    return Markup('<bdi class="id" data-copy="{0}">{0}</bdi>').format(value)


def text(value: Any) -> str | Markup:
    """Text from outside: isolated, so that its direction marks turn nothing around it."""
    if value in (None, ""):
        return _NOTHING
    return Markup("<bdi>{}</bdi>").format(value if isinstance(value, str) else str(value))


FILTERS: Final = {
    "moment": moment, "duration": duration, "count": count, "number": number, "percent": percent, "tone": tone,
    "word": word, "badge": badge, "ident": ident, "text": text,
}  # fmt: skip
