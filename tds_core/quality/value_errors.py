"""Flaws: the values of a record that cannot be read or stored, each with its place and its reason.

What JSON can spell and PostgreSQL cannot keep (a NUL, half a character, a number without end, a text of megabytes) is
taken out of the record, value by value, and the rest is kept.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Clamped, Context, Inexact, InvalidOperation, Overflow, Rounded, Subnormal
from typing import Any

import msgspec

from tds_core.errors import InvalidRecordError

#: A longer text is no value of a field but a document.
LONGEST_TEXT = 1_000_000
# PostgreSQL keeps larger numbers than these; no amount of money is one.
NUMBERS = Context(
    prec=200, Emin=-999, Emax=999, clamp=0,
    traps=[Clamped, Inexact, InvalidOperation, Overflow, Rounded, Subnormal],
)  # fmt: skip
#: JSON in which a number stays a number, to its last digit.
spell_exactly = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True, slots=True)
class Flaw:
    """One value of a record that could not be read, or (`is_stored`) that was stored and is doubted.

    `key`: where it stands in the source's record, lines by their position; `field`: what we call it. `found`: the
    beginning of the value, unless it may be personal.
    """

    key: str
    field: str
    reason: str
    found: str | None
    is_stored: bool


class _Unstorable:
    """Stands for a number beyond all measure."""


def _number(text: str) -> Any:
    try:
        return NUMBERS.create_decimal(text)
    except ArithmeticError:
        return _Unstorable()


def _integer(text: str) -> Any:
    return int(text) if len(text) <= NUMBERS.prec else _Unstorable()


def remove_unstorable(raw: bytes) -> tuple[Any, bytes, list[Flaw]]:
    """The JSON of `raw` without what cannot be stored, that as bytes, and what was taken out.

    Raises `InvalidRecordError` where it is no JSON at all.
    """
    flaws: list[Flaw] = []
    try:
        read = json.loads(raw, parse_float=_number, parse_int=_integer, parse_constant=lambda _: _Unstorable())
        mended = _mended(read, "", flaws)
    except (ValueError, RecursionError) as error:
        raise InvalidRecordError(f"not a JSON record: {error}") from None
    return mended, spell_exactly(mended) if flaws else raw, flaws


def _mended(value: Any, path: str, flaws: list[Flaw]) -> Any:
    if isinstance(value, dict):
        return _mended_object(value, path, flaws)
    if isinstance(value, list):
        return [_mended(each, f"{path}[{n}]", flaws) for n, each in enumerate(value)]
    reason = _reason(value)
    if reason is None:
        return value
    flaws.append(Flaw(path, path, reason, None, is_stored=False))
    return None


def _mended_object(value: Mapping[str, Any], path: str, flaws: list[Flaw]) -> dict[str, Any]:
    mended = {}
    for key, each in value.items():
        if _reason(key):
            flaws.append(Flaw(path or "(record)", path, "a key that cannot be stored was left out", None, False))
        else:
            mended[key] = _mended(each, f"{path}.{key}" if path else key, flaws)
    return mended


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
