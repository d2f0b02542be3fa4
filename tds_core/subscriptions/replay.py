"""Replay: sends events again, from a moment on, from a version of one record on, or those that were given up.

`send_test_event` sends a single test event at once, so that an operator sees whether events arrive.
"""

import asyncio
import secrets
import time
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.crypto import Vault
from tds_core.errors import NotFoundError
from tds_core.subscriptions.delivery_queue import Receiver, receivers
from tds_core.subscriptions.fan_out import TRAIL, WANTED
from tds_core.subscriptions.http_sender import HttpSender, ReceiverResponse
from tds_core.subscriptions.signed_events import signed_headers, test_body
from tds_core.subscriptions.ssrf_guard import TargetPolicy
from tds_core.subscriptions.subscriptions import locked_subscription
from tds_models.subscriptions import Subscription

_BEFORE = text(f"""
select min(id) - 1 from {TRAIL} where recorded_at >= :since and id <= :position
""")
# As fan-out does: a pending event that exists is moved back to the earlier one.
_INSERT = """
insert into tds_outbound_lanes as l (subscription_id, source, entity, source_id, entry_id, version, last_id, replay)
select :id, r.source, r.entity, r.source_id, min(r.id), min(r.version), max(r.last_id), :replay
from ({events}) r group by r.source, r.entity, r.source_id order by r.entity, r.source_id, r.source
on conflict (subscription_id, entity, source_id, source) do update set
    last_id = greatest(l.last_id, excluded.last_id), entry_id = least(l.entry_id, excluded.entry_id),
    version = least(l.version, excluded.version), replay = excluded.replay, attempts = 0, failed_at = null,
    next_attempt_at = case when l.lease_token is null then now() else l.next_attempt_at end
"""
_OF_RECORD = text(
    _INSERT.format(
        events=f"""
    select t.*, max(t.id) over (partition by t.source) as last_id from {TRAIL} t
    join tds_subscriptions s on s.id = :id
    where t.entity = :entity and t.source_id = :source_id and t.version >= :version
      and t.id <= s.replayed_to and {WANTED}
    """
    )
)
# The later events of the record were sent; they are sent again, so that the record's order holds.
_GIVEN_UP = text(
    _INSERT.format(
        events="""
    select d.entry_id as id, d.source, d.entity, d.source_id, d.version, s.replayed_to as last_id
    from tds_event_deliveries d join tds_subscriptions s on s.id = d.subscription_id
    where d.subscription_id = :id and d.state = 'given_up'
      and exists (select from tds_audit_trail t where t.id = d.entry_id)
    """
    )
)
_MARK_REPLAYED = text("""
update tds_event_deliveries set state = 'replayed' where subscription_id = :id and state = 'given_up'
""")


def replay(
    session: Session,
    name_or_id: str,
    *,
    since: datetime | None = None,
    entity: str = "",
    source_id: str = "",
    version: int = 1,
    given_up: bool = False,
) -> None:
    """Replay since a moment, or what was given up, or else one record. Raises NotFoundError."""
    if since is not None:
        replay_since(session, name_or_id, since)
    elif given_up:
        replay_given_up(session, name_or_id)
    else:
        replay_record(session, name_or_id, entity=entity, source_id=source_id, version=version)


def replay_since(session: Session, name_or_id: str, since: datetime) -> Subscription:
    """Move the position back to the first change at or after `since`; events are sent again under another id.

    Raises NotFoundError, also when nothing changed since.
    """
    subscription = locked_subscription(session, name_or_id)
    before = session.execute(_BEFORE, {"since": since, "position": subscription.position}).scalar()
    if before is None:
        raise NotFoundError(f"Nothing changed between {since:%Y-%m-%d %H:%M:%S %Z} and the last event sent.")
    _begin_replay(subscription)
    subscription.position = before
    session.flush()
    return subscription


def replay_record(session: Session, name_or_id: str, *, entity: str, source_id: str, version: int) -> Subscription:
    """Send the events of a record again, from `version` on. Raises NotFoundError, also when there are none."""
    subscription = locked_subscription(session, name_or_id)
    _begin_replay(subscription)
    session.flush()
    params = {"entity": entity, "source_id": source_id, "version": version}
    inserted = session.execute(_OF_RECORD, {"id": subscription.id, "replay": subscription.replay_count, **params})
    if not getattr(inserted, "rowcount", 0):
        raise NotFoundError(
            f"{subscription.name} was sent no event of {entity} {source_id[:80]} from version {version} on."
        )
    return subscription


def replay_given_up(session: Session, name_or_id: str) -> tuple[Subscription, int]:
    """Send again the events that were given up and the later ones of the same records. Returns the number of records.

    Raises NotFoundError.
    """
    subscription = locked_subscription(session, name_or_id)
    _begin_replay(subscription)
    session.flush()
    inserted = session.execute(_GIVEN_UP, {"id": subscription.id, "replay": subscription.replay_count})
    session.execute(_MARK_REPLAYED, {"id": subscription.id})
    return subscription, int(getattr(inserted, "rowcount", 0))


def _begin_replay(subscription: Subscription) -> None:
    subscription.replay_count += 1
    subscription.replayed_to = max(subscription.replayed_to, subscription.position)


def receiver_of(session: Session, name_or_id: str) -> Receiver:
    """The receiver of a subscription. Raises NotFoundError."""
    subscription_id = locked_subscription(session, name_or_id).id
    return receivers(session, [subscription_id])[subscription_id]


def send_test_event(
    receiver: Receiver, vault: Vault, targets: TargetPolicy, *, timeout_seconds: float
) -> ReceiverResponse:
    """Send a `subscription.test` event once; nothing is stored. Raises ConfigError."""
    keys = [vault.open(secret) or "" for secret in receiver.encrypted_secrets]
    name, now = f"msg_{receiver.message_key}_test_{secrets.token_hex(5)}", time.time()
    body = test_body(receiver.name, at=datetime.fromtimestamp(now, UTC))
    headers = signed_headers(keys, message_id=name, at=int(now), body=body)

    async def send() -> ReceiverResponse:
        async with HttpSender(targets, timeout_seconds=timeout_seconds) as sender:
            return await sender.send(receiver.url, headers=headers, body=body)

    return asyncio.run(send())
