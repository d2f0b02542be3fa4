"""Parses a webhook of Zoho into a `Delivery`: its record, its event, and whether the body is complete.

Of the record only the envelope is decoded (id, modification time, kind, completeness); the rest is stored as it came.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from tds_core.inbox.receive import Delivery
from tds_core.sources.zoho.webhooks.body import FORM, find_record, is_form, json_text, members_of, without_bom
from tds_core.sources.zoho.webhooks.errors import (
    BodyError,
    EntityMismatchError,
    EntityUnclearError,
    IdError,
    NotUnderstoodError,
    OtherOrganizationRecordError,
    UnknownEventError,
    UnknownWebhookEntityError,
)
from tds_core.sources.zoho.webhooks.event_names import entities_named, event_named, split_event
from tds_core.sources.zoho.webhooks.signature import pairs_of
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.entities.field_values import read_instant

SOURCE = "zoho"
#: For senders that cannot put entity and event into the address: `product.updated`.
EVENT_HEADER = "X-TDS-Event"


_NAMES = (b"entity", b"event")


@dataclass(slots=True)
class _Announcement:
    """Entity and event as the sender spells them."""

    entity: str | None
    event: str | None
    organization_id: str = ""

    def add(self, entity: str | None, event: str | None) -> None:
        self.entity = self.entity or entity
        self.event = self.event or event


@dataclass(frozen=True, slots=True)
class Envelope:
    """Id and state of a record. `modified_at`: None if missing or unreadable. `complete`: applied without a read."""

    entity: Entity
    source_id: str
    modified_at: datetime | None
    complete: bool


def parse(
    *,
    entity: str | None,
    event: str | None,
    content_type: str,
    body: bytes,
    query: Sequence[tuple[bytes, bytes]],
    form: Sequence[tuple[bytes, bytes]] | None,
    headers: Mapping[str, str],
    correlation_id: str,
    method: str = "POST",
    organization_id: str = "",
) -> Delivery:
    """Parse a webhook whose signature was verified. `entity` and `event`: from the address, None on the generic one.

    `organization_id`: the mirrored organisation; a body that names another one is refused. A DELETE request means
    "deleted" where address and headers name no event. Without a body the query parameters are the record.
    Raises a `NotUnderstoodError` that carries the entity and event understood so far.
    """
    announced = _Announcement(entity, event, organization_id)
    if entity is None or event is None:
        announced.add(_only(query, b"entity"), _only(query, b"event"))
        announced.add(*split_event(headers.get(EVENT_HEADER, "")))
        announced.add(None, "deleted" if method == "DELETE" else None)
    if form is None and not body:
        form = [pair for pair in query if pair[0] not in _NAMES] or None
    try:
        return _understand(announced, content_type, body, form, correlation_id)
    except NotUnderstoodError as error:
        error.entity, error.event = error.entity or announced.entity, error.event or announced.event
        raise


def parse_again(entity: str | None, event: str | None, body: bytes, correlation_id: str) -> Delivery:
    """Parse a stored body again, with the entity and event understood the first time. Raises `NotUnderstoodError`."""
    form = pairs_of(body) if is_form(FORM, body) else None
    return parse(
        entity=entity, event=event, content_type=FORM, body=body, query=(), form=form, headers={},
        correlation_id=correlation_id,
    )  # fmt: skip


def _understand(
    announced: _Announcement,
    content_type: str,
    body: bytes,
    form: Sequence[tuple[bytes, bytes]] | None,
    correlation_id: str,
) -> Delivery:
    text = json_text(content_type=content_type, body=body, form=form)
    members = members_of(text)
    if announced.entity is None or announced.event is None:
        announced.add(*_event_type(members))
    event, expected = _event(announced), _entities(announced)
    record, candidates = find_record(text, members, expected)
    if announced.organization_id:
        _must_be_of(announced.organization_id, members, record)
    envelope = read_envelope(record, candidates)
    return Delivery(
        source=SOURCE,
        entity=envelope.entity.name,
        event=event,
        source_id=envelope.source_id,
        source_modified_at=envelope.modified_at,
        record=record,
        # Fields chosen for a form are rarely the whole record, and all of them are text.
        complete=envelope.complete and (form is None or any(without_bom(name) == b"JSONString" for name, _ in form)),
        fingerprint=_fingerprint(envelope, event, record),
        correlation_id=correlation_id,
    )


def _only(query: Sequence[tuple[bytes, bytes]], name: bytes) -> str | None:
    """The query parameter `name`. Raises `EntityUnclearError` if it occurs with different values."""
    values = {value.decode("utf-8", "replace") for key, value in query if key == name}
    if len(values) > 1:
        raise EntityUnclearError(f"The address gives {name.decode()} more than once: give it once.")
    return next(iter(values), None)


_ORGANIZATION = "organization_id"
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _must_be_of(organization_id: str, members: Mapping[str, msgspec.Raw], record: bytes) -> None:
    """Raise OtherOrganizationRecordError when the body, or the record in it, names another organisation."""
    named = [members.get(_ORGANIZATION)]
    if b'"organization_id"' in record:
        named.append(_members.decode(record).get(_ORGANIZATION))
    for raw in named:
        found = bytes(raw).decode("utf-8", "replace").strip('"') if raw is not None else ""
        if found not in ("", "null", organization_id):
            raise OtherOrganizationRecordError(
                f"The body is of organisation {found[:40]}, and this TDS mirrors {organization_id}: point that"
                " organisation's webhooks elsewhere, and give them a secret of their own."
            )


def _event_type(members: Mapping[str, msgspec.Raw]) -> tuple[str | None, str | None]:
    for key in ("event_type", "event"):
        raw = members.get(key)
        if raw is not None and bytes(raw)[:1] == b'"':
            return split_event(msgspec.json.decode(raw, type=str))
    return None, None


def _event(announced: _Announcement) -> str:
    if announced.event is None:
        return "updated"  # Zoho's bodies name no event; created and updated are processed alike
    event = event_named(announced.event)
    if event is None:
        raise UnknownEventError(f"Unknown event {announced.event[:80]!r}; TDS takes created, updated and deleted.")
    return event


def _entities(announced: _Announcement) -> tuple[Entity, ...]:
    if announced.entity is None:
        return ()
    expected = entities_named(announced.entity)
    if not expected:
        raise UnknownWebhookEntityError(f"TDS mirrors nothing called {announced.entity[:80]!r}.")
    return expected


def _fingerprint(envelope: Envelope, event: str, record: bytes) -> bytes:
    """A digest that is equal for deliveries of the same record state; created and updated do not differ."""
    kind = "deleted" if event == "deleted" else "present"
    digest = hashlib.blake2b(
        f"{SOURCE}\0{envelope.entity.name}\0{envelope.source_id}\0{kind}\0".encode(), digest_size=16
    )
    digest.update(record)
    return digest.digest()


_ABSENT = msgspec.Raw(b"")
_NUMBER = re.compile(rb"[0-9]{1,40}")
_ID = re.compile(r"[!-~]{1,64}")


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
