"""The envelope of a webhook's record: id, modification time, kind and completeness, without parsing the rest."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from tds_core.sources.zoho.webhooks.errors import BodyError, EntityMismatchError, EntityUnclearError, IdError
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.entities.field_values import read_instant

_ABSENT = msgspec.Raw(b"")
_NUMBER = re.compile(rb"[0-9]{1,40}")
_ID = re.compile(r"[!-~]{1,64}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """Id and state of a record. `modified_at`: None if missing or unreadable. `complete`: applied without a read."""

    entity: Entity
    source_id: str
    modified_at: datetime | None
    complete: bool


class _Reader:
    """Decodes the envelope of one entity's records; other members are skipped, not parsed."""

    def __init__(self, entity: Entity) -> None:
        stream = entity.stream
        kind = (stream.kind[0],) if stream.kind else ()
        keys = list(dict.fromkeys((stream.id_key, stream.modified_key or "", *kind, *stream.complete_with)))
        names = {f"f{n}": key for n, key in enumerate(keys)}
        fields: list[tuple[str, Any, Any]] = [(name, msgspec.Raw, _ABSENT) for name in names]
        self.decode = msgspec.json.Decoder(
            msgspec.defstruct(f"Envelope_{entity.name}", fields, rename=names, gc=False)
        ).decode
        self.kind_at = keys.index(kind[0]) if kind else None
        self.needed = [keys.index(key) for key in stream.complete_with]

    def read(self, record: bytes) -> tuple[msgspec.Raw, ...]:
        """The raw values in the order id, time, kind, the rest."""
        try:
            return msgspec.structs.astuple(self.decode(record))
        except msgspec.MsgspecError as error:
            raise BodyError(f"The record cannot be read: {error}.") from None


_READERS = {name: _Reader(entity) for name, entity in ENTITIES.items()}


def read_envelope(record: bytes, candidates: Sequence[Entity]) -> Envelope:
    """Id, time and completeness of `record`, and which of the candidates it is.

    Raises IdError, EntityMismatchError or EntityUnclearError.
    """
    entity = candidates[0]
    reader = _READERS[entity.name]
    values = reader.read(record)
    if reader.kind_at is not None:
        entity = _of_kind(values[reader.kind_at], candidates)
        if entity is not candidates[0]:
            reader = _READERS[entity.name]
            values = reader.read(record)
    modified_at = _instant(values[1])
    complete = modified_at is not None and all(values[at] is not _ABSENT for at in reader.needed)
    if complete and reader.kind_at is not None:
        complete = entity.stream.kind_of(_text(values[reader.kind_at])) is not None
    return Envelope(entity, _source_id(values[0], entity.stream.id_key), modified_at, complete)


def _of_kind(raw: msgspec.Raw, candidates: Sequence[Entity]) -> Entity:
    stream = candidates[0].stream
    key, value = stream.kind[0] if stream.kind else "", stream.kind_of(_text(raw))
    if value is None:
        if len(candidates) == 1:
            return candidates[0]
        names = " or ".join(entity.name for entity in candidates)
        raise EntityUnclearError(f"Without {key} nobody can tell whether this is a {names}.")
    for entity in candidates:
        if entity.stream.kind == (key, value):
            return entity
    raise EntityMismatchError(f"Announced was {candidates[0].name}, but {key} is {value!r}.")


def _text(raw: msgspec.Raw) -> str | None:
    return msgspec.json.decode(raw, type=str) if bytes(raw)[:1] == b'"' else None


def _source_id(raw: msgspec.Raw, key: str) -> str:
    """The id as text, also if sent as a whole number: nineteen digits do not survive a float."""
    if raw is _ABSENT:
        raise IdError(f"The record has no {key}.")
    spelled = bytes(raw)
    if spelled[:1] == b'"':
        text = msgspec.json.decode(spelled, type=str)
        if _ID.fullmatch(text):
            return text
    elif _NUMBER.fullmatch(spelled):
        return spelled.decode()
    raise IdError(
        f"{key} must be a text of 1 to 64 characters or a whole number, not {spelled[:60].decode('utf-8', 'replace')}."
    )


def _instant(raw: msgspec.Raw) -> datetime | None:
    text = _text(raw)
    try:
        return read_instant(text) if text else None
    except (ValueError, OverflowError):
        return None
