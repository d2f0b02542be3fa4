"""Replaying: events are sent once more, from a moment on, from a version of a record on, or what was given up.

Trying: one event that says nothing, sent at once, so that a person sees whether events arrive.
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
from tds_core.subscriptions.payload import signed_headers, test_body
from tds_core.subscriptions.ssrf_guard import TargetPolicy
from tds_core.subscriptions.subscriptions import named
from tds_models.subscriptions import Subscription

_BEFORE = text(f"""
select min(id) - 1 from {TRAIL} where recorded_at >= :since and id <= :position
""")


def replay_since(session: Session, name_or_id: str, since: datetime) -> Subscription:
    """Go back to the first change at or after `since`; what was told already is told again under another id.

    Raises NotFoundError, also where nothing changed since.
    """
    found = named(session, name_or_id)
    before = session.execute(_BEFORE, {"since": since, "position": found.position}).scalar()
    if before is None:
        raise NotFoundError(f"Nothing changed between {since:%Y-%m-%d %H:%M:%S %Z} and what was told last.")
    found.replay_count += 1
    found.replayed_to = max(found.replayed_to, found.position)
    found.position = before
    session.flush()
    return found


# As a spread would: a lane that is there is taken back to the earlier event.
_LANES = """
insert into tds_outbound_lanes as l (subscription_id, source, entity, source_id, entry_id, version, last_id, replay)
select :id, r.source, r.entity, r.source_id, min(r.id), min(r.version), max(r.last_id), :replay
from ({chosen}) r group by r.source, r.entity, r.source_id order by r.entity, r.source_id, r.source
on conflict (subscription_id, entity, source_id, source) do update set
    last_id = greatest(l.last_id, excluded.last_id), entry_id = least(l.entry_id, excluded.entry_id),
    version = least(l.version, excluded.version), replay = excluded.replay, attempts = 0, failed_at = null,
    next_attempt_at = case when l.lease_token is null then now() else l.next_attempt_at end
"""
_RECORD = text(
    _LANES.format(
        chosen=f"""
    select t.*, max(t.id) over (partition by t.source) as last_id from {TRAIL} t
    join tds_subscriptions s on s.id = :id
    where t.entity = :entity and t.source_id = :source_id and t.version >= :version
      and t.id <= s.replayed_to and {WANTED}
    """
    )
)
# What followed an event that was given up was told; it is told again, so that the record's order holds.
_GIVEN_UP = text(
    _LANES.format(
        chosen="""
    select d.entry_id as id, d.source, d.entity, d.source_id, d.version, s.replayed_to as last_id
    from tds_event_deliveries d join tds_subscriptions s on s.id = d.subscription_id
    where d.subscription_id = :id and d.state = 'given_up'
      and exists (select from tds_audit_trail t where t.id = d.entry_id)
    """
    )
)
_TAKEN_UP = text("""
update tds_event_deliveries set state = 'replayed' where subscription_id = :id and state = 'given_up'
""")


def replay_record(session: Session, name_or_id: str, *, entity: str, source_id: str, version: int) -> Subscription:
    """Send the events of a record again, from `version` on. Raises NotFoundError, also where there are none."""
    found = _counted(session, name_or_id)
    params = {"entity": entity, "source_id": source_id, "version": version}
    made = session.execute(_RECORD, {"id": found.id, "replay": found.replay_count, **params})
    if not getattr(made, "rowcount", 0):
        raise NotFoundError(f"{found.name} was told nothing of {entity} {source_id[:80]} from version {version} on.")
    return found


def replay_given_up(session: Session, name_or_id: str) -> tuple[Subscription, int]:
    """Send again what was given up, and what followed it of the same records. Returns how many records that are."""
    found = _counted(session, name_or_id)
    made = session.execute(_GIVEN_UP, {"id": found.id, "replay": found.replay_count})
    session.execute(_TAKEN_UP, {"id": found.id})
    return found, int(getattr(made, "rowcount", 0))


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
    """Whichever of the three is asked for. Raises NotFoundError."""
    if since is not None:
        replay_since(session, name_or_id, since)
    elif given_up:
        replay_given_up(session, name_or_id)
    else:
        replay_record(session, name_or_id, entity=entity, source_id=source_id, version=version)


def _counted(session: Session, name_or_id: str) -> Subscription:
    found = named(session, name_or_id)
    found.replay_count += 1
    found.replayed_to = max(found.replayed_to, found.position)
    session.flush()
    return found


def receiver_named(session: Session, name_or_id: str) -> Receiver:
    """The receiver of a subscription. Raises NotFoundError."""
    found = named(session, name_or_id)
    return receivers(session, [found.id])[found.id]


def send_test_event(
    receiver: Receiver, vault: Vault, targets: TargetPolicy, *, timeout_seconds: float
) -> ReceiverResponse:
    """Send a `subscription.test`; nothing is written down and it is not tried again. Raises ConfigError."""
    given = [vault.open(each) or "" for each in receiver.locked]
    name, now = f"msg_{receiver.message_key}_test_{secrets.token_hex(5)}", time.time()
    body = test_body(receiver.name, at=datetime.fromtimestamp(now, UTC))
    headers = signed_headers(given, message_id=name, at=int(now), body=body)

    async def send() -> ReceiverResponse:
        async with HttpSender(targets, timeout_seconds=timeout_seconds) as wire:
            return await wire.send(receiver.url, headers=headers, body=body)

    return asyncio.run(send())
