"""Lanes in hand: claimed under a lease, the longest waiting first, a bounded number for each receiver.

Parcels: events in hand, with all that sending them takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.crypto import Vault
from tds_core.errors import ConfigError
from tds_core.subscriptions.payload import body_of, message_id
from tds_core.subscriptions.retry_policy import DOUBTS

_changes = msgspec.json.Decoder(dict[str, tuple[msgspec.Raw, msgspec.Raw]]).decode


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """One event in hand: a lane, the entry it is to send (None: the history no longer has it), and for whom.

    `attempt` is the number of the attempt about to be made.
    """

    lane_id: int
    token: UUID
    subscription_id: int
    entry_id: int
    version: int
    source: str
    entity: str
    source_id: str
    replay: int
    attempt: int
    entry: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where a subscription's events go and what they are signed with, still locked."""

    id: int
    name: str
    url: str
    fields: tuple[str, ...]
    message_key: str
    locked: tuple[bytes, ...]


# Held until the transaction ends: whoever else claims for one of these passes it over meanwhile.
_OPEN = text("""
select id from tds_subscriptions where state = 'active' and (rests_until is null or rests_until <= now())
order by id for no key update skip locked
""")
_CLAIM = text("""
with room as materialized (
    select s.id, least(:limit, case when s.failure_count >= :doubts then 1 else :at_once end - (
        select count(*) from tds_outbound_lanes l
        where l.subscription_id = s.id and l.lease_token is not null and l.next_attempt_at > now())) as room
    from tds_subscriptions s where s.id = any(:ids)
), due as materialized (
    select d.id from room r join lateral (
        select l.id from tds_outbound_lanes l where l.subscription_id = r.id and l.next_attempt_at <= now()
        order by l.next_attempt_at limit greatest(r.room, 0)) d on true
), claimed as (
    update tds_outbound_lanes l set lease_token = :token, leased_by = :worker,
        next_attempt_at = now() + make_interval(secs => :lease)
    from due where l.id = due.id
    returning l.id, l.subscription_id, l.entry_id, l.version, l.source, l.entity, l.source_id, l.replay, l.attempts
)
select c.*, t.id as there, t.operation, t.changes::text as changes, t.recorded_at,
       t.source_modified_at, t.correlation_id
from claimed c left join tds_audit_trail t on t.id = c.entry_id
""")
_ENTRY = ("source", "entity", "source_id", "version", "operation", "changes", "recorded_at", "source_modified_at",
          "correlation_id")  # fmt: skip


def claim(session: Session, *, worker: str, limit: int, at_once: int, lease_seconds: float) -> list[ClaimedDelivery]:
    """Lease up to `limit` due events of each subscription, and never more than `at_once` of one in all hands.

    A receiver that fails again and again is sent one at a time.
    """
    ids = list(session.execute(_OPEN).scalars())
    if not ids or limit < 1:
        return []
    token = uuid4()
    params = {"ids": ids, "limit": limit, "at_once": at_once, "doubts": DOUBTS, "token": token, "worker": worker}
    rows = session.execute(_CLAIM, {**params, "lease": lease_seconds}).mappings().all()
    return [
        ClaimedDelivery(
            lane_id=row["id"], token=token, subscription_id=row["subscription_id"], entry_id=row["entry_id"],
            version=row["version"], source=row["source"], entity=row["entity"], source_id=row["source_id"],
            replay=row["replay"], attempt=row["attempts"] + 1,
            entry=_entry(row) if row["there"] is not None else None,
        )
        for row in rows
    ]  # fmt: skip


def _entry(row: RowMapping) -> dict[str, Any]:
    """The entry of the history; its values are sent as they are written there."""
    return {name: row[name] for name in _ENTRY} | {"changes": _changes(row["changes"])}


_RECEIVERS = text("""
select id, name, url, fields, message_key, secret,
       case when previous_until > now() then previous_secret end as previous_secret
from tds_subscriptions where id = any(:ids)
""")


def receivers(session: Session, subscription_ids: Sequence[int]) -> dict[int, Receiver]:
    """The receivers of some subscriptions, with the secrets that are good now."""
    rows = session.execute(_RECEIVERS, {"ids": list(set(subscription_ids))}).mappings()
    return {
        row["id"]: Receiver(
            row["id"], row["name"], row["url"], tuple(row["fields"]), row["message_key"],
            tuple(bytes(each) for each in (row["secret"], row["previous_secret"]) if each is not None),
        )
        for row in rows
    }  # fmt: skip


_HOLDERS = text("select distinct leased_by from tds_outbound_lanes where lease_token is not null")
_EXPIRE = text("""
update tds_outbound_lanes set next_attempt_at = least(next_attempt_at, now())
where lease_token is not null and leased_by = any(:holders)
""")


def holders(session: Session) -> list[str]:
    """Everybody who holds a lease."""
    return list(session.execute(_HOLDERS).scalars())


def expire(session: Session, dead: Sequence[str]) -> None:
    """End the leases of holders that are known to be dead."""
    if dead:
        session.execute(_EXPIRE, {"holders": list(dead)})


@dataclass(frozen=True, slots=True)
class Batch:
    """An event ready to be signed and sent, until `until` by this process's clock; `error`: it cannot be."""

    sending: ClaimedDelivery
    url: str
    secrets: tuple[str, ...]
    message_id: str
    body: bytes
    until: float
    error: str = ""


def pack_batch(sending: ClaimedDelivery, receiver: Receiver, vault: Vault, *, until: float) -> Batch:
    """An event in hand, ready to go out."""
    name = message_id(receiver.message_key, sending.entry_id, replay=sending.replay)
    if sending.entry is None:
        return Batch(sending, receiver.url, (), name, b"", until, "the history no longer has this change")
    try:
        secrets = tuple(vault.open(each) or "" for each in receiver.locked)
    except ConfigError as error:
        return Batch(sending, receiver.url, (), name, b"", until, str(error))
    return Batch(sending, receiver.url, secrets, name, body_of(sending.entry, fields=receiver.fields), until)
