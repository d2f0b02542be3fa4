"""A record: the JSON that a source sent, read exactly, with its keys by their names of today."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from tds_core.errors import InvalidRecordError
from tds_core.quality.unstorable_values import NUMBERS, Flaw, remove_unstorable
from tds_models.entities.declaration import Entity
from tds_models.entities.field_modifiers import Older
from tds_models.entities.field_values import (
    CUSTOM_KEY,
    CUSTOM_LIST_KEY,
    CUSTOM_PREFIX,
    custom_of_list,
    is_nothing,
    read_boolean,
)

# Money never passes through a float: what JSON spells with a point or an exponent is read as a Decimal.
decode = msgspec.json.Decoder(float_hook=NUMBERS.create_decimal).decode
#: Nothing of a record shorter than this can be too long for the database.
SURELY_FITS = 100_000
# An escape after an even number of backslashes; the odd one would only spell a backslash.
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class Record(NamedTuple):
    """The JSON of one record, its numbers exact and its custom fields in one place; its bytes as they can be stored."""

    members: dict[str, Any]
    raw: bytes
    flaws: Sequence[Flaw] = ()


def read_record(raw: bytes, entity: Entity | None = None) -> Record:
    """Read the JSON of one record, `entity`'s older keys by their names of today; what cannot be stored is a flaw.

    Raises `InvalidRecordError`.
    """
    flaws: Sequence[Flaw] = ()
    try:
        members = decode(raw)
        is_sound = len(raw) < SURELY_FITS and not (b"\\" in raw and b"\\u0000" in raw and NUL.search(raw))
    except (ValueError, ArithmeticError, RecursionError):  # msgspec's errors are ValueErrors, decimal's are not
        is_sound = False
    if not is_sound:
        members, raw, flaws = remove_unstorable(raw)
    if not isinstance(members, dict):
        raise InvalidRecordError(f"expected a JSON object, got {type(members).__name__}")
    _gather_custom(members)
    if entity and entity.older_mark and entity.older_mark in raw:
        flaws = [*flaws, *_respell(entity, members)]
    return Record(members, raw, flaws)


def _gather_custom(record: dict[str, Any]) -> None:
    """Bring an organisation's own fields together under one key, whichever way they came."""
    spread, listed = _custom_keys(tuple(record)), record.get(CUSTOM_LIST_KEY)
    if not spread and (not listed or is_nothing(listed)):
        return
    gathered: dict[str, Any] = {key: record[key] for key in spread}
    strange: Any = None
    for found in (custom_of_list(listed), record.get(CUSTOM_KEY)):
        if isinstance(found, dict):
            gathered |= found
        elif found and not is_nothing(found):  # of another shape: to be told beside the rest
            strange = found
    if strange and gathered:
        gathered[""] = strange
    record[CUSTOM_KEY] = gathered or strange


def _respell(entity: Entity, record: dict[str, Any]) -> list[Flaw]:
    """Let what has an older key be found under its name of today, where that has no value of its own.

    Returns what could not be read of it.
    """
    flaws = _rename(record, entity.older_keys)
    for lines in entity.lines:
        rows = record.get(lines.key) if lines.older_keys else None
        for line in rows if isinstance(rows, list) else ():
            if isinstance(line, dict):
                flaws += _rename(line, lines.older_keys)
    return flaws


def _rename(record: dict[str, Any], keys: Sequence[Older]) -> list[Flaw]:
    flaws = []
    for older, now, name, means in keys:
        if older in record and (is_nothing(record.get(now)) or record[now] in ([], {})):
            value = record[older]
            try:
                record[now] = means[read_boolean(value)] if means and not is_nothing(value) else value
            except ValueError as error:
                record[now] = None
                flaws.append(Flaw(now, name, f"{older}: {error}", str(value)[:40], is_stored=False))
    return flaws


@lru_cache(maxsize=256)  # the records of a list have few sets of keys among them
def _custom_keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(key for key in keys if key.startswith(CUSTOM_PREFIX))
