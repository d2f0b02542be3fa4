"""Deliveries: every event that was sent to a subscription is a row, with what came of each attempt."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.outbound.events import message_id
from tds_core.outbound.retrying import Fate, Plan
from tds_core.outbound.sent import Sent

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
    session: Session, sent: Sequence[Sent], plans: Sequence[Plan], subscriptions: Mapping[int, RowMapping]
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
        if planned.fate is Fate.GIVEN_UP:
            log.error("event_given_up", subscription=subscriptions[sending.subscription_id]["name"], message_id=name)
    if rows:
        session.execute(_RECORD, {"rows": msgspec.json.encode(rows).decode()})
