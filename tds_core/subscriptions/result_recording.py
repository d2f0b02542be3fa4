"""Delivery results: stores the responses of receivers, many in one transaction, and decides what each event does next.

Every event that was sent has a row in tds_event_deliveries with the result of each attempt.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.backoff import RetryDecision
from tds_core.subscriptions import endpoint_health
from tds_core.subscriptions.endpoint_health import SubscriptionHealth
from tds_core.subscriptions.fan_out import WANTED
from tds_core.subscriptions.http_sender import DeliveryResult
from tds_core.subscriptions.retry_policy import DeliveryOutcome, decide_delivery
from tds_core.subscriptions.signed_events import message_id

log = structlog.get_logger(__name__)

_RECORD = text("""
insert into tds_event_deliveries as d (subscription_id, message_id, entry_id, source, entity, source_id, version, state,
    attempts, status, duration_seconds, error, tries)
select subscription_id, message_id, entry_id, source, entity, source_id, version, state, 1, status, seconds, error,
    jsonb_build_array(jsonb_build_object('at', now(), 'status', status, 'seconds', seconds, 'error', error))
from jsonb_to_recordset(cast(:rows as jsonb)) as r(subscription_id bigint, message_id text, entry_id bigint,
    source text, entity text, source_id text, version int, state text, status int, seconds float8, error text)
on conflict (subscription_id, message_id) do update set
    state = case when d.state = 'delivered' then d.state else excluded.state end, attempts = d.attempts + 1,
    status = excluded.status, duration_seconds = excluded.duration_seconds, error = excluded.error,
    tries = d.tries || excluded.tries, attempted_at = now()
""")

# The lease must still be held; `is_current` is false when a replay moved the row to another event meanwhile.
_FENCE = text("""
select l.id, l.failed_at, l.entry_id = r.entry_id as is_current
from jsonb_to_recordset(cast(:rows as jsonb)) as r(pending_id bigint, token uuid, entry_id bigint)
join tds_outbound_lanes l on l.id = r.pending_id and l.lease_token = r.token order by l.id for update of l
""")
# The next event of a record is its next version that is wanted; the row is deleted when there is none.
_ADVANCE = text(f"""
with ended as materialized (
    select l.id, n.id as entry_id, n.version, s.replayed_to from tds_outbound_lanes l
    join tds_subscriptions s on s.id = l.subscription_id
    left join lateral (
        select t.id, t.version from tds_audit_trail t
        where t.entity = l.entity and t.source_id = l.source_id and t.source = l.source and t.version > l.version
          and l.last_id > l.entry_id and t.id <= l.last_id and {WANTED} order by t.version limit 1) n on true
    where l.id = any(:ids)
), done as (
    delete from tds_outbound_lanes l using ended e where l.id = e.id and e.entry_id is null
)
update tds_outbound_lanes l set entry_id = e.entry_id, version = e.version, attempts = 0, failed_at = null,
    status = null, next_attempt_at = now(), lease_token = null, leased_by = null,
    replay = case when e.entry_id <= e.replayed_to then l.replay else 0 end
from ended e where l.id = e.id and e.entry_id is not null
""")
_RETRY_LATER = text("""
update tds_outbound_lanes l set attempts = r.attempts, failed_at = coalesce(l.failed_at, now()), status = r.status,
    next_attempt_at = now() + make_interval(secs => r.delay), lease_token = null, leased_by = null
from jsonb_to_recordset(cast(:rows as jsonb)) as r(id bigint, attempts int, status int, delay float8)
where l.id = r.id
""")
_RELEASE = text("""
update tds_outbound_lanes set next_attempt_at = now(), lease_token = null, leased_by = null where id = any(:ids)
""")

_EVENT_COLUMNS = ("subscription_id", "entry_id", "source", "entity", "source_id", "version")


def record_results(session: Session, results: Sequence[DeliveryResult], *, disable_seconds: float) -> None:
    """Store `results`, move the pending events on, and update the health of their subscriptions.

    An attempt is recorded also when its lease was lost; its pending event then stays as it is. `disable_seconds`: how
    long a receiver may fail before its subscription is disabled.
    """
    subscriptions = endpoint_health.lock(session, [result.claimed.subscription_id for result in results])
    results = [result for result in results if result.claimed.subscription_id in subscriptions]
    pending = _lock_pending(session, results)
    decided = [
        (result, _decide(result, subscriptions[result.claimed.subscription_id], pending.get(result.claimed.pending_id)))
        for result in results
    ]
    _record_attempts(session, decided, subscriptions)
    current = [
        (result, decision)
        for result, decision in decided
        if result.claimed.pending_id in pending and pending[result.claimed.pending_id]["is_current"]
    ]
    _advance(session, [result for result, decision in current if decision.outcome is not DeliveryOutcome.RETRY])
    _retry_later(session, [(r, decision) for r, decision in current if decision.outcome is DeliveryOutcome.RETRY])
    _release(session, [pending_id for pending_id, row in pending.items() if not row["is_current"]])
    for subscription_id, row in subscriptions.items():
        responses = [
            result.response
            for result in results
            if result.claimed.subscription_id == subscription_id and result.claimed.entry
        ]
        endpoint_health.record_outcome(session, row, responses, disable_seconds=disable_seconds)


def _lock_pending(session: Session, results: Sequence[DeliveryResult]) -> dict[int, RowMapping]:
    """By id, the pending events whose lease is still held."""
    keys = [
        {
            "pending_id": result.claimed.pending_id,
            "token": str(result.claimed.token),
            "entry_id": result.claimed.entry_id,
        }
        for result in results
    ]
    return {row["id"]: row for row in session.execute(_FENCE, {"rows": _json(keys)}).mappings()}


def _decide(
    result: DeliveryResult, subscription: SubscriptionHealth, pending: RowMapping | None
) -> RetryDecision[DeliveryOutcome]:
    if result.claimed.entry is None:
        return RetryDecision(DeliveryOutcome.GIVEN_UP)
    failed_at, delivered_at = (pending["failed_at"] if pending else None), subscription["delivered_at"]
    return decide_delivery(
        result.response.status,
        attempts=result.claimed.attempt,
        took_others=failed_at is not None and delivered_at is not None and delivered_at > failed_at,
        wish_seconds=result.response.retry_after_seconds,
        jitter=random.random(),  # noqa: S311 (jitter, not a secret)
    )


def _record_attempts(
    session: Session,
    decided: Sequence[tuple[DeliveryResult, RetryDecision[DeliveryOutcome]]],
    subscriptions: Mapping[int, SubscriptionHealth],
) -> None:
    rows: list[dict[str, Any]] = []
    for result, decision in decided:
        claimed, response = result.claimed, result.response
        subscription = subscriptions[claimed.subscription_id]
        name = message_id(subscription["message_key"], claimed.entry_id, replay=claimed.replay)
        row = {column: getattr(claimed, column) for column in _EVENT_COLUMNS}
        seconds = round(response.duration_seconds, 3)
        row |= {"message_id": name, "seconds": seconds, "state": decision.outcome}
        rows.append(row | {"status": response.status, "error": response.error})
        if decision.outcome is DeliveryOutcome.GIVEN_UP:
            log.error("event_given_up", subscription=subscription["name"], message_id=name)
    if rows:
        session.execute(_RECORD, {"rows": _json(rows)})


def _advance(session: Session, ended: Sequence[DeliveryResult]) -> None:
    if ended:
        session.execute(_ADVANCE, {"ids": [result.claimed.pending_id for result in ended]})


def _retry_later(session: Session, failed: Sequence[tuple[DeliveryResult, RetryDecision[DeliveryOutcome]]]) -> None:
    rows = [
        {
            "id": result.claimed.pending_id,
            "attempts": result.claimed.attempt,
            "status": result.response.status,
            "delay": decision.delay_seconds,
        }
        for result, decision in failed
    ]
    if rows:
        session.execute(_RETRY_LATER, {"rows": _json(rows)})


def _release(session: Session, pending_ids: Sequence[int]) -> None:
    if pending_ids:
        session.execute(_RELEASE, {"ids": list(pending_ids)})


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return msgspec.json.encode(rows).decode()
