"""A candidate: a source's record renamed, read exactly and checked, ready to be compared with the mirror."""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from tds_core.sources.errors import InvalidRecordError
from tds_models.entity import Entity, Lines
from tds_models.fields import CUSTOM_KEY, CUSTOM_PREFIX, Plan, read_instant, read_reference

# Money never passes through a float: what JSON spells with a point or an exponent is read as a Decimal.
ABSENT: Any = object()
decode = msgspec.json.Decoder(float_hook=Decimal).decode
# An escape after an even number of backslashes; the odd one would only spell a backslash.
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class Seen(StrEnum):
    """How a record was seen, and so how far it can be trusted."""

    BODY = "body"  # in a webhook: a strong hint
    LIST = "list"  # on a list page, read by us
    DETAIL = "detail"  # read by us, whole


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a change comes from, for its history: which door, which event or run, and the thread through the logs."""

    origin: str
    id: int | None = None
    correlation_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One record as it should stand in the mirror.

    `values` holds the declared fields the record had: a field it did not mention keeps its stored value. `lines` holds
    the rows of each declared child table it had. `read_at` is the database's clock before the record was asked for
    (`None` for a webhook body): what was changed after that moment may be newer than this record. `unsaid` are the
    declared keys a webhook's body does not have, by the name of their lines ("": the record's own). `said` is all of
    the record, when it has keys that are not familiar.
    """

    source_id: str
    modified_at: datetime | None
    values: Mapping[str, Any]
    lines: Mapping[str, Sequence[Mapping[str, Any]]]
    record: bytes
    seen: Seen
    read_at: datetime | None = None
    list_hash: bytes | None = None
    gone: bool = False
    unsaid: Set[tuple[str, str]] = frozenset()
    provenance: Provenance
    said: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)


#: Keys that need no second look, of a record's header ("") and of its lines by their name.
Familiar = Mapping[str, Set[str]]


def nothing_familiar(entity: Entity) -> Familiar:
    """What makes any record of `entity` worth a look."""
    return {"": frozenset(), **{lines.name: frozenset() for lines in entity.lines}}


def fingerprint(raw: bytes) -> bytes:
    """A short hash of a record's bytes: equal bytes need no reading."""
    return blake2b(raw, digest_size=16).digest()


#: Up to here JavaScript's numbers are exact.
LARGEST_EXACT = 2**53


def looks_rounded(source_id: str) -> bool:
    """Whether this may be how JavaScript spelled a number too large for it: its last digits are noughts."""
    return source_id.endswith("00") and source_id.isascii() and source_id.isdigit() and int(source_id) > LARGEST_EXACT


def tombstone(
    source_id: str, *, read_at: datetime, provenance: Provenance, values: Mapping[str, Any] | None = None
) -> Candidate:
    """The candidate that says: at `read_at` the source answered that it has no such record.

    `values`: what the webhook of its deletion said of it, for a mirror that never had it.
    """
    return Candidate(
        source_id=source_id,
        modified_at=None,
        values=values or {},
        lines={},
        record=b"{}",
        seen=Seen.DETAIL,
        read_at=read_at,
        gone=True,
        provenance=provenance,
    )


def read_record(raw: bytes) -> dict[str, Any]:
    """The JSON of one record, its numbers exact, custom fields in one place. Raises `InvalidRecordError`."""
    try:
        record = decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRecordError(f"not a JSON record: {error}") from None
    if b"\\" in raw and b"\\u0000" in raw and NUL.search(raw):  # a single byte is found soonest
        raise InvalidRecordError("contains a NUL character, which PostgreSQL cannot store")
    if not isinstance(record, dict):
        raise InvalidRecordError(f"expected a JSON object, got {type(record).__name__}")
    custom = _custom_keys(tuple(record))
    if custom and CUSTOM_KEY not in record:
        record[CUSTOM_KEY] = {key: record[key] for key in custom}
    return record


@lru_cache(maxsize=256)  # the records of a list have few sets of keys among them
def _custom_keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(key for key in keys if key.startswith(CUSTOM_PREFIX))


def transform(
    entity: Entity,
    raw: bytes,
    *,
    seen: Seen,
    provenance: Provenance,
    read_at: datetime | None = None,
    list_hash: bytes | None = None,
    familiar: Familiar | None = None,
) -> Candidate:
    """Read `raw`, the JSON of one record of `entity`. Raises `InvalidRecordError` naming every field that is wrong.

    A record with other keys than `familiar` ones is kept beside what was read of it; without `familiar` none is.
    """
    record = read_record(raw)
    wrong: list[str] = []
    stream = entity.stream
    modified_at = _read(record, stream.modified_key, read_instant, wrong) if stream.modified_key else None
    source_id = _read(record, stream.id_key, read_reference, wrong)
    if not source_id:
        wrong.append(f"{stream.id_key}: required, but empty")
    if stream.kind and record.get(stream.kind[0]) not in (None, stream.kind[1]):
        wrong.append(f"{stream.kind[0]}: is {record[stream.kind[0]]!r}, a {entity.name} has {stream.kind[1]!r}")
    values = _values(entity.plan, record, wrong)
    lines = {each.name: _lines(each, record[each.key], wrong) for each in entity.lines if each.key in record}
    if wrong:
        raise InvalidRecordError("; ".join(wrong), said=record)
    return Candidate(
        source_id=source_id or "",
        modified_at=modified_at,
        values=values,
        lines=lines,
        record=raw,
        seen=seen,
        read_at=read_at,
        list_hash=list_hash,
        unsaid=_unsaid(entity, record) if seen is Seen.BODY else frozenset(),
        provenance=provenance,
        said=record if familiar is not None and is_strange(entity, record, familiar) else None,
    )


def _unsaid(entity: Entity, record: Mapping[str, Any]) -> Set[tuple[str, str]]:
    unsaid = {("", key) for _, key, *_ in entity.plan if key not in record}
    for lines in entity.lines:
        if lines.key not in record:
            unsaid.add(("", lines.key))
        for line in record.get(lines.key, ()):
            unsaid.update((lines.name, key) for _, key, *_ in lines.plan if key not in line)
    return unsaid


def is_strange(entity: Entity, record: Mapping[str, Any], familiar: Familiar) -> bool:
    """Whether `record`, or one of its lines, has keys that are not familiar."""
    if not record.keys() <= familiar[""]:
        return True
    return any(not line.keys() <= familiar[lines.name] for lines in entity.lines for line in record.get(lines.key, ()))


def _read(record: dict[str, Any], key: str, reader: Any, wrong: list[str]) -> Any:
    raw = record.get(key)
    if raw in (None, ""):
        return None
    try:
        return reader(raw)
    except ValueError as error:
        wrong.append(f"{key}: {error}")
        return None


def _values(plan: Plan, record: dict[str, Any], wrong: list[str]) -> dict[str, Any]:
    values = {}
    for name, key, as_it_is, declared in plan:
        raw = record.get(key, ABSENT)
        if type(raw) is as_it_is and raw:
            values[name] = raw
        elif raw is not ABSENT:
            try:
                values[name] = declared.value_of(raw)
            except ValueError as error:
                wrong.append(str(error))
    return values


def _lines(lines: Lines, raw: Any, wrong: list[str]) -> list[dict[str, Any]]:
    if not isinstance(raw, list) or not all(isinstance(each, dict) for each in raw):
        wrong.append(f"{lines.key}: expected a list of lines")
        return []
    rows = []
    for position, each in enumerate(raw):
        found: list[str] = []
        line: dict[str, Any] = {"position": position, "line_id": _read(each, lines.id_key, read_reference, found)}
        line.update(dict.fromkeys((each.name for each in lines.fields), None))
        line.update(_values(lines.plan, each, found))
        wrong.extend(f"{lines.key}[{position}].{message}" for message in found)
        rows.append(line)
    return rows
