"""What operators do with an alert: acknowledge it, take the acknowledgement back, silence it, or resolve it by hand."""

from datetime import datetime, timedelta
from glob import escape
from typing import TypedDict

from sqlalchemy.orm import Session

from tds_core.alerts import deliveries, silences
from tds_core.alerts.alert_store import lock_alerts, write_changes
from tds_core.alerts.silences import Silence, SilencePreview, SilenceRow
from tds_core.alerts.state_machine import AlertChange, AlertRecord, acknowledge, resolve, take_back
from tds_core.errors import NotFoundError, TdsError
from tds_core.queue.items import database_clock
from tds_models.alerts import AlertState

#: An acknowledgement that nobody limits lasts so long; after it the alert sends messages again.
DEFAULT_ACKNOWLEDGEMENT = timedelta(hours=4)
LONGEST_ACKNOWLEDGEMENT = timedelta(days=7)
LONGEST_NOTE = 500

_FIRING = (AlertState.FIRING, AlertState.FLAPPING, AlertState.ACKNOWLEDGED)


class SilenceMade(TypedDict):
    """A silence that was just made, and what it mutes now."""

    silence: SilenceRow
    mutes: SilencePreview


class AlertNotFiringError(TdsError):
    """The alert does not fire, so there is nothing to acknowledge or resolve."""

    code = "alert_not_firing"


class InvalidAcknowledgementError(TdsError):
    """An acknowledgement cannot be made like this."""

    code = "invalid_acknowledgement"


def acknowledge_alert(
    session: Session, alert_id: int, *, by: str, lasts: timedelta = DEFAULT_ACKNOWLEDGEMENT, note: str | None = None
) -> AlertRecord:
    """Stop reminders and escalation of an alert until the time is over or it is resolved. Returns the alert.

    Raises NotFoundError, `AlertNotFiringError` and `InvalidAcknowledgementError`.
    """
    if not timedelta(minutes=1) <= lasts <= LONGEST_ACKNOWLEDGEMENT:
        raise InvalidAcknowledgementError("An acknowledgement lasts a minute to seven days.")
    if note is not None and len(note) > LONGEST_NOTE:
        raise InvalidAcknowledgementError(f"A note has at most {LONGEST_NOTE} characters.")
    alert, now = _lock_firing(session, alert_id, "acknowledge")
    return _write(session, acknowledge(alert, now, by=by, until=now + lasts, note=note), now)


def unacknowledge_alert(session: Session, alert_id: int, *, by: str) -> AlertRecord:
    """Let an acknowledged alert send messages again. Returns the alert; raises as `acknowledge_alert` does."""
    alert, now = _lock_firing(session, alert_id, "take back")
    if alert.state is not AlertState.ACKNOWLEDGED:
        raise AlertNotFiringError(
            f"Alert {alert_id} is {alert.state}, not acknowledged; see: tds alerts show {alert_id}"
        )
    return _write(session, take_back(alert, now, by=by), now)


def resolve_alert(session: Session, alert_id: int, *, by: str, note: str | None = None) -> AlertRecord:
    """End an alert by hand. Returns it; while its condition is met, the next evaluation lets it fire again.

    Raises NotFoundError and `AlertNotFiringError`.
    """
    alert, now = _lock_firing(session, alert_id, "resolve")
    resolved = _write(session, resolve(alert, now, by=by, reason=note or "resolved by hand"), now)
    deliveries.conclude(session, [resolved])
    return resolved


def silence_alert(
    session: Session,
    alert_id: int,
    *,
    by: str,
    reason: str,
    lasts: timedelta | None = None,
    ends_at: datetime | None = None,
    ends_with_alert: bool = False,
) -> SilenceMade:
    """Silence exactly this alert, its rule and subject, for `lasts` or until `ends_at`.

    Raises NotFoundError and `InvalidSilenceError`.
    """
    alert = _lock(session, alert_id)
    silence = silences.planned(
        session, rules=[escape(alert.rule)], subjects=[escape(alert.subject)], lasts=lasts, ends_at=ends_at,
        reason=reason, ends_with_alerts=ends_with_alert,
    )  # fmt: skip
    return make_silence(session, silence, by=by)


def make_silence(session: Session, silence: Silence, *, by: str) -> SilenceMade:
    """Make a silence. Returns it with what it mutes now. Raises `InvalidSilenceError`."""
    mutes = silences.preview(session, silence)
    return {"silence": silences.create(session, silence, by=by), "mutes": mutes}


def _lock(session: Session, alert_id: int) -> AlertRecord:
    alerts = lock_alerts(session, [alert_id]) if alert_id < 2**63 else []
    if not alerts:
        raise NotFoundError(f"There is no alert {alert_id}; see: tds alerts list")
    return alerts[0]


def _lock_firing(session: Session, alert_id: int, verb: str) -> tuple[AlertRecord, datetime]:
    alert = _lock(session, alert_id)
    if alert.state not in _FIRING:
        raise AlertNotFiringError(
            f"Alert {alert_id} is {alert.state}: nothing to {verb}; its story: tds alerts show {alert_id}"
        )
    return alert, database_clock(session)


def _write(session: Session, change: AlertChange, now: datetime) -> AlertRecord:
    write_changes(session, [change], now)
    return change.after
