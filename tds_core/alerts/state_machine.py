"""The state machine of an alert: decides from its row, a reading and the time what the row becomes. It reads no clock.

ok → pending → firing → acknowledged → resolved, and again; flapping in place of firing when it did so several times.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tds_core.alerts.rule import RuleTerms, RuleValue
from tds_models.alerts import AlertSeverity, AlertState

#: So many firings within FLAPPING_SPAN are flapping, which ends when the condition stays the same for CALM.
FLAPPING_FIRINGS = 4
FLAPPING_SPAN = timedelta(hours=1)
CALM = timedelta(minutes=30)

_INACTIVE = (AlertState.OK, AlertState.RESOLVED, AlertState.NO_DATA)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRecord:
    """An alert as it is stored; see `tds_models.alerts.Alert`. `id`: None before it is stored."""

    rule: str
    subject: str
    severity: AlertSeverity
    id: int | None = None
    state: AlertState = AlertState.OK
    version: int = 0
    episode: int = 0
    value: float | None = None
    summary: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    since_at: datetime | None = None
    seen_at: datetime | None = None
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    recent_firings: tuple[datetime, ...] = ()
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    acknowledged_until: datetime | None = None
    note: str | None = None
    muted_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertChange:
    """What an alert's row becomes. `reason` is of the transition, where its state changed."""

    before: AlertRecord
    after: AlertRecord
    changed_by: str = "tds"
    reason: str | None = None

    @property
    def is_transition(self) -> bool:
        """Whether the state changed, the alert fired anew, or somebody acknowledged it again."""
        return _decided(self.before) != _decided(self.after)


def _decided(alert: AlertRecord) -> tuple[object, ...]:
    return alert.state, alert.episode, alert.acknowledged_at


def meet(alert: AlertRecord, reading: RuleValue, terms: RuleTerms, now: datetime) -> AlertChange:
    """The condition is met."""
    seen = replace(
        alert,
        severity=terms.severity,
        value=reading.value,
        summary=reading.says,
        detail=reading.detail,
        seen_at=now,
        since_at=now if alert.state in _INACTIVE or alert.since_at is None else alert.since_at,
    )
    since = seen.since_at or now
    if alert.state in _INACTIVE and terms.for_seconds > 0:
        return AlertChange(before=alert, after=replace(seen, state=AlertState.PENDING))
    if alert.state in _INACTIVE or (
        alert.state is AlertState.PENDING and now - since >= timedelta(seconds=terms.for_seconds)
    ):
        return _fire(alert, seen, now)
    if alert.state is AlertState.ACKNOWLEDGED and alert.acknowledged_until and alert.acknowledged_until <= now:
        reason = f"the acknowledgement by {alert.acknowledged_by} expired"
        return AlertChange(before=alert, after=replace(seen, state=AlertState.FIRING), reason=reason)
    if alert.state is AlertState.FLAPPING and now - since >= CALM:
        return AlertChange(before=alert, after=replace(seen, state=AlertState.FIRING), reason="it stays on now")
    return AlertChange(before=alert, after=seen)


def _fire(before: AlertRecord, seen: AlertRecord, now: datetime) -> AlertChange:
    firings = (*(at for at in before.recent_firings if now - at < FLAPPING_SPAN), now)
    is_flapping = len(firings) >= FLAPPING_FIRINGS
    after = replace(
        seen,
        state=AlertState.FLAPPING if is_flapping else AlertState.FIRING,
        episode=before.episode + 1,
        fired_at=now,
        resolved_at=None,
        recent_firings=firings,
        acknowledged_by=None,
        acknowledged_at=None,
        acknowledged_until=None,
        note=None,
    )
    reason = f"fired {len(firings)} times within an hour" if is_flapping else None
    return AlertChange(before=before, after=after, reason=reason)


def end(alert: AlertRecord, terms: RuleTerms, now: datetime, *, reason: str | None = None) -> AlertChange:
    """The condition is not met. With `reason` it ends at once: its rule was switched off."""
    seen_at = alert.seen_at or now
    if alert.state in (AlertState.PENDING, AlertState.NO_DATA):
        return AlertChange(before=alert, after=replace(alert, state=AlertState.OK, since_at=None), reason=reason)
    if alert.state in _INACTIVE:
        return AlertChange(before=alert, after=alert)
    lately = [at for at in alert.recent_firings if now - at < FLAPPING_SPAN + CALM]
    is_flapping = alert.state is AlertState.FLAPPING or len(lately) >= FLAPPING_FIRINGS
    keep = CALM if is_flapping else timedelta(seconds=terms.keep_seconds)
    if reason is None and now - seen_at < keep:
        after = replace(alert, since_at=None) if alert.state is AlertState.FLAPPING else alert
        return AlertChange(before=alert, after=after)
    return resolve(alert, now, reason=reason)


def resolve(alert: AlertRecord, now: datetime, *, by: str = "tds", reason: str | None = None) -> AlertChange:
    """It fires no longer."""
    after = replace(alert, state=AlertState.RESOLVED, resolved_at=now, since_at=None, muted_by=None)
    return AlertChange(before=alert, after=after, changed_by=by, reason=reason)


def mark_unmeasured(alert: AlertRecord, error: str, now: datetime) -> AlertChange:
    """The rule could not be measured: an alert that is active stays as it is, for nothing shows that it ended."""
    if alert.state not in _INACTIVE or alert.state is AlertState.NO_DATA:
        return AlertChange(before=alert, after=alert)
    after = replace(alert, state=AlertState.NO_DATA, summary=error, value=None, since_at=now)
    return AlertChange(before=alert, after=after, reason=error)


def acknowledge(alert: AlertRecord, now: datetime, *, by: str, until: datetime, note: str | None) -> AlertChange:
    """A person takes care of it until `until`; a second acknowledgement replaces the first."""
    after = replace(
        alert,
        state=AlertState.ACKNOWLEDGED,
        acknowledged_by=by,
        acknowledged_at=now,
        acknowledged_until=until,
        note=note,
    )
    return AlertChange(before=alert, after=after, changed_by=by, reason=note)


def take_back(alert: AlertRecord, now: datetime, *, by: str) -> AlertChange:
    """Nobody takes care of it any more, so it sends messages again."""
    is_flapping = len(alert.recent_firings) >= FLAPPING_FIRINGS
    state = AlertState.FLAPPING if is_flapping else AlertState.FIRING
    after = replace(alert, state=state, acknowledged_until=now)
    return AlertChange(before=alert, after=after, changed_by=by, reason="the acknowledgement was taken back")
