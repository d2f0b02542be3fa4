"""Endpoint health: rests a subscription whose receiver fails, and disables one that fails for too long."""

import random
from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict, cast

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.quality import findings
from tds_core.subscriptions.http_sender import ReceiverResponse
from tds_core.subscriptions.retry_policy import DOUBTS, GONE, TOO_MANY, is_success, rest_seconds
from tds_models.findings import Severity
from tds_models.subscriptions import SubscriptionState

log = structlog.get_logger(__name__)

#: The kind of finding that reports a disabled subscription.
DISABLED = "subscription_disabled"


class SubscriptionHealth(TypedDict):
    """The health of a subscription. `rest_count`: rests in a row; `failing_seconds`: since it began to fail, or 0."""

    id: int
    name: str
    state: str
    message_key: str
    delivered_at: datetime | None
    failure_count: int
    rest_count: int
    is_resting: bool
    failing_seconds: float


_LOCK = text("""
select id, name, state, message_key, delivered_at, failure_count, rest_count,
       coalesce(rests_until > now(), false) as is_resting,
       coalesce(extract(epoch from now() - failing_since), 0)::float8 as failing_seconds
from tds_subscriptions where id = any(:ids) order by id for no key update
""")
_SUCCEEDED = text("""
update tds_subscriptions set failure_count = 0, failing_since = null, rest_count = 0, rests_until = null,
    delivered_at = now() where id = :id
""")
_FAILED = text("""
update tds_subscriptions set failure_count = failure_count + :count, failing_since = coalesce(failing_since, now()),
    rest_count = rest_count + :rests,
    rests_until = case when :rest > 0 then now() + make_interval(secs => :rest) else rests_until end
where id = :id
""")
# Events that failed because the receiver was away are due at once when it is back.
_WAKE = text("""
update tds_outbound_lanes set next_attempt_at = now()
where subscription_id = :id and lease_token is null and attempts > 0 and next_attempt_at > now()
  and (status is null or status >= 500 or status = 429)
""")
_DISABLE = text("""
update tds_subscriptions set state = 'disabled', state_reason = :reason, state_at = now() where id = :id
""")
_RESOLVE = text("""
update tds_findings set resolved_at = now(), resolved_by = :by
where kind = :kind and subject = :name and resolved_at is null
""")


def lock(session: Session, subscription_ids: Sequence[int]) -> dict[int, SubscriptionHealth]:
    """By id, the health of subscriptions, locked until the transaction ends."""
    ids = sorted(set(subscription_ids))
    rows = session.execute(_LOCK, {"ids": ids}).mappings()
    return {row["id"]: cast("SubscriptionHealth", dict(row)) for row in rows}


def record_outcome(
    session: Session, row: SubscriptionHealth, responses: Sequence[ReceiverResponse], *, disable_seconds: float
) -> None:
    """Update a subscription's health by its receiver's `responses`; `disable_seconds`: how long it may fail."""
    if any(is_success(response.status) for response in responses):
        session.execute(_SUCCEEDED, {"id": row["id"]})
        if row["failure_count"] >= DOUBTS:
            session.execute(_WAKE, {"id": row["id"]})
            log.info("receiver_takes_events_again", subscription=row["name"])
    elif responses:
        _fail(session, row, responses, disable_seconds)
    if row["state"] == SubscriptionState.ACTIVE and any(response.status == GONE for response in responses):
        disable(session, row, "the receiver answered 410 Gone")


def _fail(
    session: Session, row: SubscriptionHealth, responses: Sequence[ReceiverResponse], disable_seconds: float
) -> None:
    wait = max(response.retry_after_seconds for response in responses)
    doubted = row["failure_count"] + len(responses) >= DOUBTS or any(
        response.status == TOO_MANY for response in responses
    )
    rests = doubted and not row["is_resting"]
    jitter = random.random()  # noqa: S311 (jitter, not a secret)
    rest = rest_seconds(row["rest_count"] + 1, wish_seconds=wait, jitter=jitter) if rests else 0.0
    params = {"id": row["id"], "count": len(responses), "rests": int(rests), "rest": rest}
    session.execute(_FAILED, params)
    if rests:
        log.warning("receiver_rests", subscription=row["name"], seconds=round(rest, 1), status=responses[-1].status)
    if row["state"] == SubscriptionState.ACTIVE and row["failing_seconds"] > disable_seconds:
        disable(session, row, f"the receiver took nothing for {row['failing_seconds'] / 3600:.0f} hours")


def disable(session: Session, row: SubscriptionHealth, reason: str) -> None:
    """Send nothing until an operator resumes it, and record a finding."""
    session.execute(_DISABLE, {"id": row["id"], "reason": reason})
    detail = {"news": f"disabled: {reason}", "resume": f"tds subscriptions resume {row['name']}"}
    findings.report(
        session, kind=DISABLED, severity=Severity.ERROR, source="tds", entity="subscription", subject=row["name"],
        detail=detail,
    )  # fmt: skip


def resolve(session: Session, name: str, *, by: str) -> None:
    """Resolve the finding that a subscription is disabled."""
    session.execute(_RESOLVE, {"kind": DISABLED, "name": name, "by": by})
