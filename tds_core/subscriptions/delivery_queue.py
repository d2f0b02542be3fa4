"""The delivery queue: claims due events under a lease, longest waiting first, and prepares them for claimed.

The number of events of one subscription that are leased at once is bounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.crypto import Vault
from tds_core.errors import ConfigError
from tds_core.subscriptions.retry_policy import DOUBTS
from tds_core.subscriptions.signed_events import HistoryEntry, body_of, message_id

_changes = msgspec.json.Decoder(dict[str, tuple[msgspec.Raw, msgspec.Raw]]).decode


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A claimed event. `pending_id`: its row in the queue. `entry`: None when the history no longer has it.

    `attempt` is the number of the attempt about to be made, from 1.
    """

    pending_id: int
    token: UUID
    subscription_id: int
    entry_id: int
    version: int
    source: str
    entity: str
    source_id: str
    replay: int
    attempt: int
    entry: HistoryEntry | None


@dataclass(frozen=True, slots=True)
class Receiver:
    """The receiver of a subscription. `encrypted_secrets`: what signs now, the newest first."""

    id: int
    name: str
    url: str
    fields: tuple[str, ...]
    message_key: str
    encrypted_secrets: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PreparedDelivery:
    """A claimed event ready to be signed and sent. `error`: why it cannot be sent; empty when it can.

    `until`: when the worker must have sent it, by the monotonic clock.
    """

    claimed: ClaimedDelivery
    url: str
    secrets: tuple[str, ...]
    message_id: str
    body: bytes
    until: float
    error: str = ""


# Locked until the transaction ends: other workers skip these subscriptions meanwhile.
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
_RECEIVERS = text("""
select id, name, url, fields, message_key, secret,
       case when previous_until > now() then previous_secret end as previous_secret
from tds_subscriptions where id = any(:ids)
""")
_HOLDERS = text("select distinct leased_by from tds_outbound_lanes where lease_token is not null")
_EXPIRE = text("""
update tds_outbound_lanes set next_attempt_at = least(next_attempt_at, now())
where lease_token is not null and leased_by = any(:holders)
""")


def claim(session: Session, *, worker: str, limit: int, at_once: int, lease_seconds: float) -> list[ClaimedDelivery]:
    """Claim up to `limit` due events of each subscription, at most `at_once` of one over all workers.

    A subscription whose receiver failed `DOUBTS` times in a row gets one at a time.
    """
    ids = list(session.execute(_OPEN).scalars())
    if not ids or limit < 1:
        return []
    token = uuid4()
    params = {"ids": ids, "limit": limit, "at_once": at_once, "doubts": DOUBTS, "token": token, "worker": worker}
    rows = session.execute(_CLAIM, {**params, "lease": lease_seconds}).mappings().all()
    return [
        ClaimedDelivery(
            pending_id=row["id"], token=token, subscription_id=row["subscription_id"], entry_id=row["entry_id"],
            version=row["version"], source=row["source"], entity=row["entity"], source_id=row["source_id"],
            replay=row["replay"], attempt=row["attempts"] + 1,
            entry=_entry(row) if row["there"] is not None else None,
        )
        for row in rows
    ]  # fmt: skip


def _entry(row: RowMapping) -> HistoryEntry:
    """The entry of the history; its values are sent as they are written there."""
    return cast("HistoryEntry", {name: row[name] for name in _ENTRY} | {"changes": _changes(row["changes"])})


def receivers(session: Session, subscription_ids: Sequence[int]) -> dict[int, Receiver]:
    """By id, the receivers of some subscriptions with the secrets that sign now."""
    rows = session.execute(_RECEIVERS, {"ids": list(set(subscription_ids))}).mappings()
    return {
        row["id"]: Receiver(
            row["id"], row["name"], row["url"], tuple(row["fields"]), row["message_key"],
            tuple(bytes(secret) for secret in (row["secret"], row["previous_secret"]) if secret is not None),
        )
        for row in rows
    }  # fmt: skip


def holders(session: Session) -> list[str]:
    """The workers that hold a lease."""
    return list(session.execute(_HOLDERS).scalars())


def expire(session: Session, dead: Sequence[str]) -> None:
    """End the leases of workers that are known to be dead."""
    if dead:
        session.execute(_EXPIRE, {"holders": list(dead)})


def prepare(claimed: ClaimedDelivery, receiver: Receiver, vault: Vault, *, until: float) -> PreparedDelivery:
    """Make the body and decrypt the secrets of a claimed event."""
    name = message_id(receiver.message_key, claimed.entry_id, replay=claimed.replay)
    if claimed.entry is None:
        return PreparedDelivery(claimed, receiver.url, (), name, b"", until, "the history no longer has this change")
    try:
        secrets = tuple(vault.open(secret) or "" for secret in receiver.encrypted_secrets)
    except ConfigError as error:
        return PreparedDelivery(claimed, receiver.url, (), name, b"", until, str(error))
    return PreparedDelivery(claimed, receiver.url, secrets, name, body_of(claimed.entry, fields=receiver.fields), until)
