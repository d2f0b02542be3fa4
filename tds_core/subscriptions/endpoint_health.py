"""How a subscription stands with its receiver: trusted, rested because it fails, or disabled."""

import random
from collections.abc import Sequence

import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.quality import findings
from tds_core.subscriptions.http_sender import ReceiverResponse
from tds_core.subscriptions.retry_policy import DOUBTS, GONE, TOO_MANY, is_success, rest_seconds
from tds_models.quality import Severity
from tds_models.subscriptions import SubscriptionState

log = structlog.get_logger(__name__)

#: The kind of finding a disabled subscription is.
DISABLED = "subscription_disabled"

_LOCK = text("""
select id, name, state, message_key, delivered_at, failure_count, rest_count,
       coalesce(rests_until > now(), false) as is_resting,
       coalesce(extract(epoch from now() - failing_since), 0)::float8 as failing_seconds
from tds_subscriptions where id = any(:ids) order by id for no key update
""")
_TOOK = text("""
update tds_subscriptions set failure_count = 0, failing_since = null, rest_count = 0, rests_until = null,
    delivered_at = now() where id = :id
""")
_FAILED = text("""
update tds_subscriptions set failure_count = failure_count + :count, failing_since = coalesce(failing_since, now()),
    rest_count = rest_count + :rests,
    rests_until = case when :rest > 0 then now() + make_interval(secs => :rest) else rests_until end
where id = :id
""")
# What failed because the receiver was away need not wait for its time once it is back.
_WAKE = text("""
update tds_outbound_lanes set next_attempt_at = now()
where subscription_id = :id and lease_token is null and attempts > 0 and next_attempt_at > now()
  and (status is null or status >= 500 or status = 429)
""")
_DISABLE = text("""
update tds_subscriptions set state = 'disabled', state_reason = :reason, state_at = now() where id = :id
""")


def lock(session: Session, subscription_ids: Sequence[int]) -> dict[int, RowMapping]:
    """Subscriptions as they stand, ours until the transaction ends: whoever moves their lanes waits."""
    ids = sorted(set(subscription_ids))
    return {row["id"]: row for row in session.execute(_LOCK, {"ids": ids}).mappings()}


def record_outcome(
    session: Session, row: RowMapping, answers: Sequence[ReceiverResponse], *, disable_seconds: float
) -> None:
    """Let a subscription stand as its receiver's `answers` say."""
    if any(is_success(answer.status) for answer in answers):
        session.execute(_TOOK, {"id": row["id"]})
        if row["failure_count"] >= DOUBTS:
            session.execute(_WAKE, {"id": row["id"]})
            log.info("receiver_takes_events_again", subscription=row["name"])
    elif answers:
        _fail(session, row, answers, disable_seconds)
    if row["state"] == SubscriptionState.ACTIVE and any(answer.status == GONE for answer in answers):
        disable(session, row, "the receiver answered 410 Gone")


def _fail(session: Session, row: RowMapping, answers: Sequence[ReceiverResponse], disable_seconds: float) -> None:
    wish = max(answer.wish_seconds for answer in answers)
    doubted = row["failure_count"] + len(answers) >= DOUBTS or any(answer.status == TOO_MANY for answer in answers)
    rests = doubted and not row["is_resting"]
    jitter = random.random()  # noqa: S311 (jitter, not a secret)
    rest = rest_seconds(row["rest_count"] + 1, wish_seconds=wish, jitter=jitter) if rests else 0.0
    params = {"id": row["id"], "count": len(answers), "rests": int(rests), "rest": rest}
    session.execute(_FAILED, params)
    if rests:
        log.warning("receiver_rests", subscription=row["name"], seconds=round(rest, 1), status=answers[-1].status)
    if row["state"] == SubscriptionState.ACTIVE and row["failing_seconds"] > disable_seconds:
        disable(session, row, f"the receiver took nothing for {row['failing_seconds'] / 3600:.0f} hours")


def disable(session: Session, row: RowMapping, reason: str) -> None:
    """Send nothing more until an operator resumes; a finding says so."""
    session.execute(_DISABLE, {"id": row["id"], "reason": reason})
    detail = {"news": f"disabled: {reason}", "resume": f"tds subscriptions resume {row['name']}"}
    findings.report(
        session, kind=DISABLED, severity=Severity.ERROR, source="tds", entity="subscription", subject=row["name"],
        detail=detail,
    )  # fmt: skip


_RESOLVE = text("""
update tds_findings set resolved_at = now(), resolved_by = :by
where kind = :kind and subject = :name and resolved_at is null
""")


def resolve(session: Session, name: str, *, by: str) -> None:
    """Close the finding that a subscription is disabled."""
    session.execute(_RESOLVE, {"kind": DISABLED, "name": name, "by": by})
