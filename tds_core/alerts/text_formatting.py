"""Texts of messages: outside text as one bounded line, times and spans for people, and what is shown of a detail."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tds_core.observability.redaction import redact, redact_text
from tds_core.terminal_text import shown_in_line

#: How much of a detail is shown: entries, entries of a list, levels below it, characters of a text.
MOST_ENTRIES, MOST_LISTED, MOST_LEVELS, LONGEST_VALUE = 12, 10, 2, 300
#: An id, a count with its unit, a time: nothing a person would call text.
_ID = re.compile(r"[A-Za-z0-9][\w.:/+-]{0,79}", re.ASCII)
_COMMAND = re.compile(r"tds [\w ./:=-]{1,200}", re.ASCII)
_DAY, _HOUR, _MINUTE = 86_400, 3600, 60

Detail = Mapping[str, Any]


def one_line(text: str, longest: int) -> str:
    """A text from outside as one line of at most `longest` characters, without control characters and secrets."""
    clean = shown_in_line(redact_text(" ".join(text[: longest * 4].split())))
    return clean if len(clean) <= longest else clean[: longest - 1].rstrip() + "…"


def shown_time(at: datetime) -> str:
    """A time to the minute, as `2026-11-29 07:10 UTC`."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def span(seconds: float) -> str:
    """A span of time in its two largest units, as `3 h 5 min`."""
    left = max(0, round(seconds))
    if left < _MINUTE:
        return f"{left} s"
    if left < _HOUR:
        return f"{left // _MINUTE} min"
    first, unit, second, smaller = (_DAY, "d", _HOUR, "h") if left >= _DAY else (_HOUR, "h", _MINUTE, "min")
    rest = left % first // second
    return f"{left // first} {unit}" + (f" {rest} {smaller}" if rest else "")


def shown_detail(detail: Detail, *, with_text: bool) -> dict[str, Any]:
    """What may be shown of a detail: ids, counts and commands; other texts only `with_text`. No secrets, bounded."""
    shown = _shown_mapping(redact(detail), with_text=with_text, levels=MOST_LEVELS)
    return {key: value for key, value in shown.items() if value is not None}


def detail_lines(detail: Detail) -> tuple[str, ...]:
    """The lines of a detail from `shown_detail`: one for each entry, and one for each entry of a list of groups."""
    return tuple(line for key, value in detail.items() for line in _lines(key, value))


def _lines(key: str, value: Any) -> Iterator[str]:
    name = key.replace("_", " ")
    if isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        yield from (f"{name}: {_inline(each)}" for each in value)
    else:
        yield f"{name}: {_inline(value)}"


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_inline(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_inline, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) else str(value)


def _shown_value(value: Any, *, key: str, with_text: bool, levels: int) -> Any:
    """The part of a value that may be shown; None for nothing."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime):
        return shown_time(value)
    if isinstance(value, Mapping):
        return _shown_mapping(value, with_text=with_text, levels=levels - 1) or None if levels else None
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        each = (_shown_value(one, key=key, with_text=with_text, levels=levels) for one in value[:MOST_LISTED])
        return [one for one in each if one is not None] or None
    return _shown_text(str(value), key=key, with_text=with_text) if value is not None else None


def _shown_text(text: str, *, key: str, with_text: bool) -> str | None:
    is_command = key == "command" and _COMMAND.fullmatch(text)
    return one_line(text, LONGEST_VALUE) if with_text or is_command or _ID.fullmatch(text) else None


def _shown_mapping(values: Mapping[Any, Any], *, with_text: bool, levels: int) -> dict[str, Any]:
    shown = {
        one_line(str(key), 80): _shown_value(value, key=str(key), with_text=with_text, levels=levels)
        for key, value in list(values.items())[:MOST_ENTRIES]
        if (with_text or _ID.fullmatch(str(key))) and not str(key).startswith("_")
    }
    return {key: value for key, value in shown.items() if value is not None}
