"""Flaws: values of a record that cannot be read or stored, each with its position and reason.

Values that JSON can express and PostgreSQL cannot store (a NUL character, a lone surrogate, a number out of range, a
text of megabytes) are removed from the record one by one; the rest is kept.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Clamped, Context, Inexact, InvalidOperation, Overflow, Rounded, Subnormal
from typing import Any

import msgspec

from tds_core.errors import InvalidRecordError
from tds_models.findings import Severity

#: Longest text of a field, in characters.
LONGEST_TEXT = 1_000_000
# PostgreSQL stores larger numbers, but no amount is one.
NUMBERS = Context(
    prec=200, Emin=-999, Emax=999, clamp=0,
    traps=[Clamped, Inexact, InvalidOperation, Overflow, Rounded, Subnormal],
)  # fmt: skip
#: JSON encoder that keeps every digit of a number.
spell_exactly = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class Flaw:
    """One value of a record that could not be read, or (`is_stored`) that was stored but breaks a rule.

    `key`: its position in the source's record, lines by index. `field`: TDS's name. `found`: the beginning of the
    value, None if it may be personal. `severity`: of the finding.
    """

    key: str
    field: str
    reason: str
    found: str | None
    is_stored: bool
    severity: Severity = Severity.WARNING


class _Unstorable:
    """Stands for a number out of range."""


def _number(text: str) -> Any:
    try:
        return NUMBERS.create_decimal(text)
    except ArithmeticError:
        return _Unstorable()


def _integer(text: str) -> Any:
    return int(text) if len(text) <= NUMBERS.prec else _Unstorable()


def remove_unstorable(raw: bytes) -> tuple[Any, bytes, list[Flaw]]:
    """The parsed JSON of `raw` without unstorable values, its text, and a flaw for each value removed.

    Raises `InvalidRecordError` for text that is not JSON.
    """
    flaws: list[Flaw] = []
    try:
        read = json.loads(raw, parse_float=_number, parse_int=_integer, parse_constant=lambda _: _Unstorable())
        cleaned = _cleaned(read, "", flaws)
    except (ValueError, RecursionError) as error:
        raise InvalidRecordError(f"not a JSON record: {error}") from None
    return cleaned, spell_exactly(cleaned) if flaws else raw, flaws


def _cleaned(value: Any, path: str, flaws: list[Flaw]) -> Any:
    if isinstance(value, dict):
        return _cleaned_object(value, path, flaws)
    if isinstance(value, list):
        return [_cleaned(each, f"{path}[{n}]", flaws) for n, each in enumerate(value)]
    reason = _reason(value)
    if reason is None:
        return value
    flaws.append(Flaw(path, path, reason, None, is_stored=False))
    return None


def _cleaned_object(value: Mapping[str, Any], path: str, flaws: list[Flaw]) -> dict[str, Any]:
    cleaned = {}
    for key, each in value.items():
        if _reason(key):
            flaws.append(Flaw(path or "(record)", path, "a key that cannot be stored was left out", None, False))
        else:
            cleaned[key] = _cleaned(each, f"{path}.{key}" if path else key, flaws)
    return cleaned


def _reason(value: Any) -> str | None:
    """Why a single value cannot be stored, if it cannot."""
    if isinstance(value, _Unstorable):
        return "number out of range"
    if not isinstance(value, str):
        return None
    if "\x00" in value:
        return "contains a NUL character, which PostgreSQL cannot store"
    if len(value) > LONGEST_TEXT:
        return f"{len(value):,} characters; values longer than {LONGEST_TEXT:,} are not kept"
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return "contains half a character (a lone surrogate), which PostgreSQL cannot store"
    return None
