"""Settling: what receivers answered becomes rows, in one transaction for many events: lanes, deliveries, standings.

Deliveries: every event that was sent to a subscription is a row, with what came of each attempt.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.subscriptions import endpoint_health
from tds_core.subscriptions.fan_out import WANTED
from tds_core.subscriptions.http_sender import DeliveryResult
from tds_core.subscriptions.payload import message_id
from tds_core.subscriptions.retry_policy import DeliveryDecision, DeliveryOutcome, decide_delivery

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

_TOLD = ("subscription_id", "entry_id", "source", "entity", "source_id", "version")


def record(
    session: Session,
    sent: Sequence[DeliveryResult],
    plans: Sequence[DeliveryDecision],
    subscriptions: Mapping[int, RowMapping],
) -> None:
    """Write down each attempt: what was sent, what came back, and what that leads to."""
    rows: list[dict[str, Any]] = []
    for each, planned in zip(sent, plans, strict=True):
        sending, answer = each.sending, each.answer
        key = subscriptions[sending.subscription_id]["message_key"]
        name = message_id(key, sending.entry_id, replay=sending.replay)
        came_of = {"state": planned.fate, "status": answer.status, "error": answer.error}
        seconds = round(answer.duration_seconds, 3)
        rows.append({**{column: getattr(sending, column) for column in _TOLD}, "message_id": name, "seconds": seconds,
                     **came_of})  # fmt: skip
        if planned.fate is DeliveryOutcome.GIVEN_UP:
            log.error("event_given_up", subscription=subscriptions[sending.subscription_id]["name"], message_id=name)
    if rows:
        session.execute(_RECORD, {"rows": msgspec.json.encode(rows).decode()})


# The lease must be ours, and the lane still at the event that was sent: a replay may have taken it back meanwhile.
_FENCE = text("""
select l.id, l.failed_at, l.entry_id = r.entry_id as is_there
from jsonb_to_recordset(cast(:rows as jsonb)) as r(lane_id bigint, token uuid, entry_id bigint)
join tds_outbound_lanes l on l.id = r.lane_id and l.lease_token = r.token order by l.id for update of l
""")


def record_results(session: Session, sent: Sequence[DeliveryResult], *, disable_seconds: float) -> None:
    """Write down what came of `sent`. A lease that was lost moves nothing; that something was sent is kept anyway."""
    subscriptions = endpoint_health.lock(session, [each.sending.subscription_id for each in sent])
    sent = [each for each in sent if each.sending.subscription_id in subscriptions]
    keys = [
        {"lane_id": each.sending.lane_id, "token": str(each.sending.token), "entry_id": each.sending.entry_id}
        for each in sent
    ]
    lanes = {row["id"]: row for row in session.execute(_FENCE, {"rows": _json(keys)}).mappings()}
    plans = [_plan(each, subscriptions[each.sending.subscription_id], lanes.get(each.sending.lane_id)) for each in sent]
    record(session, sent, plans, subscriptions)
    held = [(s, p) for s, p in zip(sent, plans, strict=True) if s.sending.lane_id in lanes]
    ended = [
        s.sending.lane_id
        for s, p in held
        if p.fate is not DeliveryOutcome.RETRY and lanes[s.sending.lane_id]["is_there"]
    ]
    if ended:
        session.execute(_MOVE_ON, {"ids": ended})
    _put_off(
        session, [(s, p) for s, p in held if p.fate is DeliveryOutcome.RETRY and lanes[s.sending.lane_id]["is_there"]]
    )
    if moved := [lane_id for lane_id, row in lanes.items() if not row["is_there"]]:
        session.execute(_LET_GO, {"ids": moved})
    for subscription_id, row in subscriptions.items():
        answers = [s.answer for s in sent if s.sending.subscription_id == subscription_id and s.sending.entry]
        endpoint_health.record_outcome(session, row, answers, disable_seconds=disable_seconds)


def _plan(sent: DeliveryResult, subscription: RowMapping, lane: RowMapping | None) -> DeliveryDecision:
    if sent.sending.entry is None:
        return DeliveryDecision(DeliveryOutcome.GIVEN_UP)
    failed_at, delivered_at = (lane["failed_at"] if lane else None), subscription["delivered_at"]
    return decide_delivery(
        sent.answer.status,
        attempts=sent.sending.attempt,
        took_others=failed_at is not None and delivered_at is not None and delivered_at > failed_at,
        wish_seconds=sent.answer.wish_seconds,
        jitter=random.random(),  # noqa: S311 (jitter, not a secret)
    )


# The next event of a record is the next version of it that is wanted; a lane that has none is done.
_MOVE_ON = text(f"""
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
_PUT_OFF = text("""
update tds_outbound_lanes l set attempts = r.attempts, failed_at = coalesce(l.failed_at, now()), status = r.status,
    next_attempt_at = now() + make_interval(secs => r.delay), lease_token = null, leased_by = null
from jsonb_to_recordset(cast(:rows as jsonb)) as r(id bigint, attempts int, status int, delay float8)
where l.id = r.id
""")
_LET_GO = text("""
update tds_outbound_lanes set next_attempt_at = now(), lease_token = null, leased_by = null where id = any(:ids)
""")


def _put_off(session: Session, failed: Sequence[tuple[DeliveryResult, DeliveryDecision]]) -> None:
    rows = [
        {"id": s.sending.lane_id, "attempts": s.sending.attempt, "status": s.answer.status, "delay": p.delay_seconds}
        for s, p in failed
    ]
    if rows:
        session.execute(_PUT_OFF, {"rows": _json(rows)})


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return msgspec.json.encode(rows).decode()
