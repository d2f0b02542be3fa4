"""Tests of channels: a message that says it is a test, kept with the deliveries of its channel.

Where a TDS runs, a test is a row that the process which sends its messages takes up: so the channel is tried from the
machine and with the settings that real messages have.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.alerts.channels.sending import SendOutcome
from tds_core.observability import heartbeats
from tds_models.alerts import AlertDeliveryState

#: Rules were evaluated within so long: a TDS runs, and its messages are sent.
RUNNING_SECONDS = 45.0
#: Nobody waits for a test any longer than this.
LONGEST_WAIT_SECONDS = 60.0


class SentBy(StrEnum):
    """What sent a test message, and with whose settings."""

    RUNNING = "running_tds"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class ClaimedTest:
    """A test under way. `lease_token`: what recording its result must show."""

    id: int
    channel_id: int
    lease_token: UUID


class ChannelTestResult(TypedDict):
    """What came of a test message; see `SendOutcome`."""

    is_sent: bool
    error: str | None
    is_permanent: bool
    duration_seconds: float
    sent_by: str


_REQUEST = text("""
insert into tds_alert_deliveries (episode, channel_id, kind, state, reason, message_id)
values (0, :channel, 'test', 'queued', :reason, :message) returning id
""")
# Nobody waits for those that are older, or whose sender died.
_CLAIM = text("""
with expired as (
    update tds_alert_deliveries set state = 'superseded', reason = 'not sent in time', lease_token = null
    where kind = 'test' and state = 'queued' and created_at <= now() - make_interval(secs => :longest)
)
update tds_alert_deliveries set lease_token = :token, leased_until = now() + interval '1 minute', attempts = 1
where id in (
    select min(id) from tds_alert_deliveries
    where kind = 'test' and state = 'queued' and lease_token is null and channel_id <> all(cast(:busy as bigint[]))
      and created_at > now() - make_interval(secs => :longest)
    group by channel_id order by 1 limit :limit)
  and state = 'queued' and lease_token is null
returning id, channel_id, lease_token
""")
_RECORD = text("""
update tds_alert_deliveries set state = :state, tries = cast(:tries as jsonb), attempts = 1, lease_token = null,
    leased_until = null, sent_at = case when :state = 'sent' then now() end
where id = :id and lease_token is not distinct from cast(:token as uuid)
""")
_WITHDRAW = text("""
update tds_alert_deliveries set state = 'superseded', reason = 'no running TDS took it up'
where id = :id and state = 'queued' and lease_token is null
""")
_RESULT = text("select state, tries from tds_alert_deliveries where id = :id and state in ('sent', 'failed')")


def is_sender_running(session: Session) -> bool:
    """Whether a TDS runs that sends the messages of alerts."""
    return heartbeats.silent_seconds(session, ("alerts",)).get("alerts", RUNNING_SECONDS) < RUNNING_SECONDS


def request(session: Session, channel_id: int, *, by: str) -> int:
    """Ask the running TDS for a test. Returns the id of its delivery."""
    params = {"channel": channel_id, "reason": f"a test by {by}", "message": uuid4()}
    return int(session.execute(_REQUEST, params).scalar_one())


def claim(session: Session, *, limit: int, busy: Collection[int] = ()) -> list[ClaimedTest]:
    """Claim tests that were asked for lately, one for each channel that is not `busy`."""
    params = {"token": uuid4(), "busy": list(busy), "limit": limit, "longest": LONGEST_WAIT_SECONDS}
    return [ClaimedTest(row.id, row.channel_id, row.lease_token) for row in session.execute(_CLAIM, params)]


def record(session: Session, test_id: int, outcome: SendOutcome, *, sent_by: SentBy, token: UUID | None = None) -> None:
    """Record how a test ended. `token`: of the one who claimed it; None for a test that was not to be claimed."""
    attempt = {
        "attempt": 1, "error": outcome.error, "seconds": round(outcome.duration_seconds, 3),
        "is_permanent": outcome.is_permanent, "sent_by": sent_by,
    }  # fmt: skip
    state = AlertDeliveryState.SENT if outcome.is_sent else AlertDeliveryState.FAILED
    params = {"id": test_id, "state": state, "token": token, "tries": msgspec.json.encode([attempt]).decode()}
    session.execute(_RECORD, params)


def keep(session: Session, channel_id: int, outcome: SendOutcome, *, sent_by: SentBy, by: str) -> ChannelTestResult:
    """Store a test that the caller sent itself. Returns what came of it."""
    record(session, request(session, channel_id, by=by), outcome, sent_by=sent_by)
    return {
        "is_sent": outcome.is_sent, "error": outcome.error, "is_permanent": outcome.is_permanent,
        "duration_seconds": outcome.duration_seconds, "sent_by": sent_by,
    }  # fmt: skip


def withdraw(session: Session, test_id: int) -> bool:
    """Take a test back. Returns whether nothing had taken it up yet."""
    return bool(session.execute(_WITHDRAW, {"id": test_id}).rowcount)  # type: ignore[attr-defined]


def result(session: Session, test_id: int) -> ChannelTestResult | None:
    """What came of a test; None while it is under way."""
    row = session.execute(_RESULT, {"id": test_id}).one_or_none()
    if row is None:
        return None
    attempt = row.tries[-1]
    return {
        "is_sent": row.state == AlertDeliveryState.SENT, "error": attempt["error"],
        "is_permanent": attempt["is_permanent"], "duration_seconds": attempt["seconds"], "sent_by": attempt["sent_by"],
    }  # fmt: skip
