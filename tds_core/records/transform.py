"""Transform: makes a candidate of a source record, its fields renamed and parsed, to be compared with the mirror.

One bad value does not cost the record: it becomes no value, and a flaw of the candidate.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from tds_core.errors import InvalidRecordError, OtherKindError
from tds_core.quality.future_timestamps import Clock
from tds_core.quality.unstorable_values import Flaw
from tds_core.records.source_record import read_record
from tds_models.entities.declaration import Entity, Lines
from tds_models.entities.field_values import LONGEST_ID, PartlyUnreadableError, is_nothing, read_instant, read_reference
from tds_models.entities.fields import Field, Plan

ABSENT: Any = object()
#: The origin of readings that are applied whatever their time of change.
FORCED = "forced"


class RecordView(StrEnum):
    """The view a record was seen in, and so how far it can be trusted."""

    BODY = "body"  # in a webhook: a strong hint
    LIST = "list"  # on a list page, read by us
    DETAIL = "detail"  # read by us, whole


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a change comes from, for its history: the origin, the event or run, and the correlation id."""

    origin: str
    id: int | None = None
    correlation_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One record as the mirror should have it.

    `values` holds the declared fields the record had: a field it did not mention keeps its stored value. `lines` holds
    the rows of each declared child table it had. `read_at` is the database's clock before the record was asked for
    (`None` for a webhook body): what was changed after that moment may be newer than this record. `missing_keys`:
    declared keys a webhook's body does not have, by the name of their lines ("": the record's own). `partial`: it is a
    body that lacks what records are known to have. `drift_record`: the whole record, when it has flaws or unknown
    keys. `flaws`: the values that could not be read, or are doubted. `why`: for what it is `gone`, where the source
    still has it. `refused`: what the source said instead of showing it, and it never was shown.
    `clock`: the source's when it said so; a time it has not come to is kept in `ahead_at`, and what we read is of the
    moment it was read.
    """

    source_id: str
    modified_at: datetime | None
    values: Mapping[str, Any]
    lines: Mapping[str, Sequence[Mapping[str, Any]]]
    record: bytes
    view: RecordView
    read_at: datetime | None = None
    list_hash: bytes | None = None
    gone: bool = False
    why: str = ""
    refused: str = ""
    missing_keys: Set[tuple[str, str]] = frozenset()
    partial: bool = False
    clock: Clock | None = None
    ahead_at: datetime | None = None
    provenance: Provenance
    drift_record: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    flaws: Sequence[Flaw] = ()

    @property
    def is_whole(self) -> bool:
        """Whether this is all the source has to say of the record."""
        return not (self.view is RecordView.LIST or self.partial or self.gone)


#: Keys already recorded by drift detection, of a record's header ("") and of its lines by their name.
KnownKeys = Mapping[str, Set[str]]


def no_known_keys(entity: Entity) -> KnownKeys:
    """No known keys: any record of `entity` is then checked for drift."""
    return {"": frozenset(), **{lines.name: frozenset() for lines in entity.lines}}


def fingerprint(raw: bytes) -> bytes:
    """A short hash of a record's bytes: equal bytes need no parsing."""
    return blake2b(raw, digest_size=16).digest()


#: Up to here JavaScript's numbers are exact.
LARGEST_EXACT = 2**53


def looks_rounded(source_id: str) -> bool:
    """Whether this may be how JavaScript spelled a number too large for it: its last digits are noughts."""
    return source_id.endswith("00") and source_id.isascii() and source_id.isdigit() and int(source_id) > LARGEST_EXACT


def tombstone(
    source_id: str,
    *,
    read_at: datetime,
    provenance: Provenance,
    values: Mapping[str, Any] | None = None,
    record: bytes = b"{}",
    why: str = "",
    refused: str = "",
) -> Candidate:
    """The candidate that says: at `read_at` the source answered that it has no such record of this entity.

    `values`: what the webhook of its deletion said of it, for a mirror that never had it. `record` and `why`: what it
    is, and that this is something else, where the source still has it.
    """
    return Candidate(
        source_id=source_id,
        modified_at=None,
        values=values or {},
        lines={},
        record=record,
        view=RecordView.DETAIL,
        read_at=read_at,
        gone=True,
        why=why,
        refused=refused,
        provenance=provenance,
    )


def transform(
    entity: Entity,
    raw: bytes,
    *,
    view: RecordView,
    provenance: Provenance,
    read_at: datetime | None = None,
    list_hash: bytes | None = None,
    known_keys: KnownKeys | None = None,
    shown: Set[str] = frozenset(),
    clock: Clock | None = None,
) -> Candidate:
    """Read `raw`, the JSON of one record of `entity`. Raises `InvalidRecordError` for what cannot be a row at all.

    A record with flaws, or with other keys than `familiar` ones, is kept beside what was read of it; without `familiar`
    none is. `shown`: the keys which details of this organisation are known to show, beside those that are declared to
    be: a detail without one of them says that it has no value.
    """
    read = read_record(raw, entity)
    record, flaws = read.members, list(read.flaws)
    source_id, modified_at = _identity(entity, record)
    ahead_at = modified_at if clock and modified_at and clock.is_behind(modified_at) else None
    if clock and ahead_at and (view is not RecordView.BODY or provenance.origin == "operator"):
        modified_at = clock.now
    flaws += _kind_flaws(entity, record)
    values = _values(entity.plan, record, flaws)
    lines = {}
    for each in entity.lines:
        if each.key in record:
            rows = _lines(each, record, flaws)
            if rows is not None:
                lines[each.name] = rows
    if view is RecordView.DETAIL and (values or lines) and (modified_at or not entity.stream.modified_key):
        _clear(entity, record, shown, values, lines, flaws=flaws)
    flaws += missing_values(entity.required, values, flaws)
    return Candidate(
        source_id=source_id,
        modified_at=modified_at,
        values=values,
        lines=lines,
        record=read.raw,
        view=view,
        read_at=read_at,
        list_hash=list_hash,
        missing_keys=_missing_keys(entity, record, flaws) if view is RecordView.BODY else frozenset(),
        provenance=provenance,
        drift_record=record if known_keys is not None and (flaws or is_strange(entity, record, known_keys)) else None,
        flaws=flaws,
        clock=clock,
        ahead_at=ahead_at,
    )


def _identity(entity: Entity, record: dict[str, Any]) -> tuple[str, datetime | None]:
    """Whose record it is and of when. Raises `InvalidRecordError` naming what is wrong."""
    wrong: list[str] = []
    stream = entity.stream
    if stream.kind and stream.is_other_kind(record):
        raise OtherKindError(f"{stream.kind[0]}: is {record[stream.kind[0]]!r}, a {entity.name} has {stream.kind[1]!r}")
    modified_at = _read(record, stream.modified_key, read_instant, wrong) if stream.modified_key else None
    source_id = _read(record, stream.id_key, read_reference, wrong)
    if not source_id:
        wrong.append(f"{stream.id_key}: required, but empty")
    if wrong:
        raise InvalidRecordError("; ".join(wrong), record=record)
    return source_id, modified_at


def _kind_flaws(entity: Entity, record: Mapping[str, Any]) -> list[Flaw]:
    """What is wrong with what a record says of its kind, which then says nothing."""
    stream = entity.stream
    raw = record.get(stream.kind[0]) if stream.kind else None
    if stream.kind is None or is_nothing(raw) or stream.kind_of(raw):
        return []
    found = raw[:40] if isinstance(raw, str) else type(raw).__name__
    reason = f"expected {' or '.join(stream.kinds)}, got {found!r}"
    return [Flaw(stream.kind[0], stream.kind[0], reason, found, is_stored=False)]


def _clear(
    entity: Entity,
    record: Mapping[str, Any],
    shown: Set[str],
    values: dict[str, Any],
    lines: dict[str, Any],
    *,
    flaws: Sequence[Flaw],
) -> None:
    """What a detail would show if it had a value, and does not, has none. What cannot be read is left alone."""
    for name, key, _, declared in entity.plan:
        if key not in record and (declared.detailed or key in shown):
            values[name] = None
    for each in entity.lines:
        is_absent = each.key not in record and not any(flaw.key == each.key for flaw in flaws)
        if is_absent and (each.detailed or each.key in shown):
            lines[each.name] = []


def _missing_keys(entity: Entity, record: Mapping[str, Any], flaws: Sequence[Flaw]) -> Set[tuple[str, str]]:
    """The declared keys a body does not have, or has in a way that says nothing to us."""
    missing_keys = {("", key) for _, key, *_ in entity.plan if key not in record}
    missing_keys |= {("", flaw.key.partition("[")[0].partition(".")[0]) for flaw in flaws if not flaw.is_stored}
    for lines in entity.lines:
        if lines.key not in record:
            missing_keys.add(("", lines.key))
        for line in record.get(lines.key, ()):
            missing_keys.update((lines.name, key) for _, key, *_ in lines.plan if key not in line)
    return missing_keys


def is_strange(entity: Entity, record: Mapping[str, Any], known_keys: KnownKeys) -> bool:
    """Whether `record`, or one of its lines, has keys that are not familiar."""
    if not record.keys() <= known_keys[""]:
        return True
    return any(
        not line.keys() <= known_keys[lines.name] for lines in entity.lines for line in record.get(lines.key, ())
    )


def _read(record: dict[str, Any], key: str, reader: Any, wrong: list[str]) -> Any:
    raw = record.get(key)
    if is_nothing(raw):
        return None
    try:
        return reader(raw)
    except ValueError as error:
        wrong.append(f"{key}: {error}")
        return None


def _values(plan: Plan, record: dict[str, Any], flaws: list[Flaw], path: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, key, is_text, declared in plan:
        raw = record.get(key, ABSENT)
        if raw is ABSENT:
            continue
        if raw is None or raw == "":  # most values are nothing, or text of ordinary length
            values[name] = None
        elif is_text and type(raw) is str and len(raw) <= LONGEST_ID and not raw.isspace():
            values[name] = raw
        else:
            values[name], flaw = read_value(declared, raw, path)
            if flaw:
                flaws.append(flaw)
    return values


def read_value(field: Field, raw: Any, path: str = "") -> tuple[Any, Flaw | None]:
    """The stored value of `raw`, and what is wrong with it; `path` leads to the line it is of."""
    try:
        value = field.value_of(raw)
        if field.least is None or value is None:
            return value, None
    except ValueError as error:
        rest = error.rest if isinstance(error, PartlyUnreadableError) else None
        reason, found = field.reason_for(raw, error), field.excerpt_of(raw)
        return rest, Flaw(path + field.key, field.name, reason, found, is_stored=False)
    doubt, severity = field.doubt_of(value), field.least_severity
    if not doubt:
        return value, None
    return value, Flaw(path + field.key, field.name, doubt, field.excerpt_of(raw), is_stored=True, severity=severity)


def missing_values(required: Sequence[Field], values: Mapping[str, Any], flaws: Sequence[Flaw]) -> list[Flaw]:
    """A flaw for each of the `required` fields that a record shows without a value; one that could not be read has its
    own already.
    """
    missing = [each for each in required if values.get(each.name, ABSENT) is None]
    unread = {flaw.key for flaw in flaws} if missing else ()
    return [
        Flaw(each.key, each.name, "required, but empty", None, is_stored=True, severity=each.required)
        for each in missing
        if each.required and each.key not in unread
    ]


def _lines(lines: Lines, record: dict[str, Any], flaws: list[Flaw]) -> list[dict[str, Any]] | None:
    """The rows of `lines`; `None` where the record says nothing of them, and then it has no such key any more."""
    rows = record[lines.key]
    if not isinstance(rows, list):
        del record[lines.key]
        if not is_nothing(rows):
            reason = f"expected a list of lines, got {type(rows).__name__}"
            flaws.append(Flaw(lines.key, lines.name, reason, None, is_stored=False))
        return None
    sound = [each for each in rows if isinstance(each, dict)]
    if len(sound) < len(rows):
        record[lines.key] = sound
        flaws += [
            Flaw(f"{lines.key}[{n}]", lines.name, f"expected a line, got {type(each).__name__}", None, is_stored=False)
            for n, each in enumerate(rows)
            if not isinstance(each, dict) and not is_nothing(each)
        ]
    return [_line(lines, position, each, flaws) for position, each in enumerate(sound)]


def _line(lines: Lines, position: int, record: dict[str, Any], flaws: list[Flaw]) -> dict[str, Any]:
    path = f"{lines.key}[{position}]."
    line: dict[str, Any] = {"position": position, "line_id": None}
    line.update(dict.fromkeys((each.name for each in lines.fields), None))
    line.update(_values(lines.identity, record, flaws, path))
    line.update(_values(lines.plan, record, flaws, path))
    return line
