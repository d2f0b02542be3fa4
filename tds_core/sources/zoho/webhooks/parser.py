"""A webhook of Zoho, understood: which record it is about, what happened, and how far the body can be used."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from tds_core.inbox.receive import Delivery
from tds_core.sources.zoho.webhooks.body import FORM, found_record, is_form, json_text, members_of, unmarked
from tds_core.sources.zoho.webhooks.envelope import Envelope, read_envelope
from tds_core.sources.zoho.webhooks.errors import (
    EntityUnclearError,
    NotUnderstoodError,
    OtherOrganizationRecordError,
    UnknownEventError,
    UnknownWebhookEntityError,
)
from tds_core.sources.zoho.webhooks.event_names import entities_named, event_named, split_event
from tds_core.sources.zoho.webhooks.signature import pairs_of
from tds_models.entities.base import Entity

SOURCE = "zoho"
#: For senders that cannot put entity and event into the address: `product.updated`.
EVENT_HEADER = "X-TDS-Event"


_NAMES = (b"entity", b"event")


@dataclass(slots=True)
class _Claim:
    """What the sender says it is about, as it spells it."""

    entity: str | None
    event: str | None
    organization_id: str = ""

    def add(self, entity: str | None, event: str | None) -> None:
        self.entity = self.entity or entity
        self.event = self.event or event


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
    """What a proven webhook says. `entity` and `event` come from the address, None on the generic one.

    `organization_id`: whose records are mirrored. A body need not name an organisation, but then none but this one.
    DELETE says what happened where address and headers do not. Parameters are the record where nothing else is sent.
    Raises NotUnderstoodError (one of its kinds), which knows what was understood before it stopped.
    """
    claim = _Claim(entity, event, organization_id)
    if entity is None or event is None:
        claim.add(_only(query, b"entity"), _only(query, b"event"))
        claim.add(*split_event(headers.get(EVENT_HEADER, "")))
        claim.add(None, "deleted" if method == "DELETE" else None)
    if form is None and not body:
        form = [pair for pair in query if pair[0] not in _NAMES] or None
    try:
        return _understand(claim, content_type, body, form, correlation_id)
    except NotUnderstoodError as error:
        error.entity, error.event = error.entity or claim.entity, error.event or claim.event
        raise


def parse_again(entity: str | None, event: str | None, body: bytes, correlation_id: str) -> Delivery:
    """What a proven body says that was set aside: `entity` and `event` are what was understood of them then.

    Raises NotUnderstoodError.
    """
    form = pairs_of(body) if is_form(FORM, body) else None
    return parse(
        entity=entity, event=event, content_type=FORM, body=body, query=(), form=form, headers={},
        correlation_id=correlation_id,
    )  # fmt: skip


def _understand(
    claim: _Claim,
    content_type: str,
    body: bytes,
    form: Sequence[tuple[bytes, bytes]] | None,
    correlation_id: str,
) -> Delivery:
    text = json_text(content_type=content_type, body=body, form=form)
    members = members_of(text)
    if claim.entity is None or claim.event is None:
        claim.add(*_event_type(members))
    event, meant = _event(claim), _entities(claim)
    record, candidates = found_record(text, members, meant)
    if claim.organization_id:
        _must_be_of(claim.organization_id, members, record)
    glance = read_envelope(record, candidates)
    return Delivery(
        source=SOURCE,
        entity=glance.entity.name,
        event=event,
        source_id=glance.source_id,
        source_modified_at=glance.modified_at,
        record=record,
        # Fields chosen for a form are rarely the whole record, and all of them are text.
        complete=glance.complete and (form is None or any(unmarked(name) == b"JSONString" for name, _ in form)),
        fingerprint=_fingerprint(glance, event, record),
        correlation_id=correlation_id,
    )


def _only(query: Sequence[tuple[bytes, bytes]], name: bytes) -> str | None:
    """The parameter `name`. Raises EntityUnclearError when it comes again and says something else."""
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


def _event(claim: _Claim) -> str:
    if claim.event is None:
        return "updated"  # Zoho's own bodies do not say; for what follows it makes no difference from created
    event = event_named(claim.event)
    if event is None:
        raise UnknownEventError(f"Unknown event {claim.event[:80]!r}; TDS takes created, updated and deleted.")
    return event


def _entities(claim: _Claim) -> tuple[Entity, ...]:
    if claim.entity is None:
        return ()
    meant = entities_named(claim.entity)
    if not meant:
        raise UnknownWebhookEntityError(f"TDS mirrors nothing called {claim.entity[:80]!r}.")
    return meant


def _fingerprint(glance: Envelope, event: str, record: bytes) -> bytes:
    """Equal for deliveries that say the same; created and updated say the same when the record is the same."""
    kind = "deleted" if event == "deleted" else "present"
    digest = hashlib.blake2b(f"{SOURCE}\0{glance.entity.name}\0{glance.source_id}\0{kind}\0".encode(), digest_size=16)
    digest.update(record)
    return digest.digest()
