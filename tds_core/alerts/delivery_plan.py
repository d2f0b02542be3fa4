"""The delivery plan: which messages channels should get, as a function of alerts, silences and what they got before.

It is made anew at every evaluation, so the end of a silence, of a cause or of quiet hours needs no event of its own,
and neither does a step of escalation.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from tds_core.alerts.silences import Silence, silence_of
from tds_core.alerts.state_machine import AlertRecord
from tds_models.alerts import AlertDeliveryState, AlertMessageKind, AlertSeverity, AlertState

#: After a message about a rule, further alerts of it wait for each other so long. What is critical does not wait.
GROUP_INTERVAL = timedelta(minutes=5)
#: So long after a cause ended its consequences may need to end, too.
AFTERMATH = timedelta(minutes=2)
_RANK = {severity: rank for rank, severity in enumerate(AlertSeverity)}


def rank_of(severity: AlertSeverity) -> int:
    """How bad a severity is; a worse one has a higher rank."""
    return _RANK[severity]


# Superseded, and yet firing in the same episode: its acknowledgement expired.
_NOT_SENT = (AlertDeliveryState.SUPPRESSED, AlertDeliveryState.SUPERSEDED)
#: By rule, how severe its alerts are that mute others.
CauseSeverities = Mapping[str, AlertSeverity]
NOTIFIED_STATES = (AlertState.FIRING, AlertState.FLAPPING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelTerms:
    """When a channel gets messages; see `tds_models.alerts.AlertChannel`."""

    id: int
    name: str
    minimum_severity: AlertSeverity
    after_seconds: int
    reminder_seconds: int
    quiet_hours: str | None
    time_zone: str

    def is_quiet(self, now: datetime) -> bool:
        """Whether its quiet hours are on."""
        if not self.quiet_hours:
            return False
        begin, end = (time.fromisoformat(part) for part in self.quiet_hours.split("-"))
        clock = now.astimezone(ZoneInfo(self.time_zone)).time()
        return begin <= clock < end if begin < end else clock >= begin or clock < end


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySummary:
    """What a channel got of one episode of an alert. `sent_at`: the newest firing or reminder it took."""

    state: AlertDeliveryState
    reason: str | None = None
    sent_at: datetime | None = None
    reminder_count: int = 0
    has_open_reminder: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelHistory:
    """What channels got before. `summaries`: by alert and channel, of the alerts' present episodes.

    `recent_groups`: the rules and channels of which messages were made within `GROUP_INTERVAL`.
    """

    summaries: Mapping[tuple[int, int], DeliverySummary]
    recent_groups: Collection[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDelivery:
    """A delivery to be stored, or to change from suppressed to queued or back."""

    alert_id: int
    episode: int
    channel_id: int
    kind: AlertMessageKind
    state: AlertDeliveryState
    reason: str | None
    number: int = 0


def suppression(
    alert: AlertRecord, channel: ChannelTerms, silences: Iterable[Silence], causes: CauseSeverities, now: datetime
) -> str | None:
    """Why a channel gets no message of an alert now; None: it gets one. `silences`: those that are on now."""
    if alert.muted_by and _hears_of(causes.get(alert.muted_by), alert, channel, now):
        return f"muted by {alert.muted_by}"
    if silence := silence_of(alert, silences):
        return f"silence {silence.id}"
    if channel.is_quiet(now) and not _is_critical(alert):
        return f"quiet hours {channel.quiet_hours}"
    return None


def _hears_of(cause: AlertSeverity | None, alert: AlertRecord, channel: ChannelTerms, now: datetime) -> bool:
    """Whether a channel is told of a cause, and not later than of this consequence. None: the cause was just over."""
    if cause is None:
        return True
    if rank_of(cause) < rank_of(channel.minimum_severity):
        return False
    return cause is AlertSeverity.CRITICAL or not (_is_critical(alert) and channel.is_quiet(now))


def _is_critical(alert: AlertRecord) -> bool:
    return alert.severity is AlertSeverity.CRITICAL


def plan(
    alerts: Iterable[AlertRecord],
    channels: Sequence[ChannelTerms],
    history: ChannelHistory,
    silences: Sequence[Silence],
    *,
    causes: CauseSeverities,
    now: datetime,
) -> list[PlannedDelivery]:
    """The deliveries to be made or changed. `silences`: those that are on now."""
    planned = []
    for alert in alerts:
        if alert.state not in NOTIFIED_STATES or alert.id is None:
            continue
        for channel in channels:
            summary = history.summaries.get((alert.id, channel.id))
            if summary is None and (alert.rule, channel.id) in history.recent_groups and not _is_critical(alert):
                continue
            why_not = suppression(alert, channel, silences, causes, now)
            if each := _plan_one(alert, channel, summary, why_not, now):
                planned.append(each)
    return planned


def _plan_one(
    alert: AlertRecord, channel: ChannelTerms, summary: DeliverySummary | None, why_not: str | None, now: datetime
) -> PlannedDelivery | None:
    if rank_of(alert.severity) < rank_of(channel.minimum_severity) or not alert.fired_at:
        return None
    kind, reason, number = AlertMessageKind.FIRING, None, 0
    if summary is None:
        if now - alert.fired_at < timedelta(seconds=channel.after_seconds):
            return None
        reason = "nobody acknowledged it" if channel.after_seconds else None
    elif summary.state in _NOT_SENT:
        if why_not and summary.state is AlertDeliveryState.SUPPRESSED and why_not == summary.reason:
            return None
        reason = f"over: {summary.reason}"
    elif why_not is None and (reason := _reminder_reason(alert, channel, summary, now)):
        kind, number = AlertMessageKind.REMINDER, summary.reminder_count + 1
    else:
        return None
    return PlannedDelivery(
        alert_id=alert.id or 0,
        episode=alert.episode,
        channel_id=channel.id,
        kind=kind,
        state=AlertDeliveryState.SUPPRESSED if why_not else AlertDeliveryState.QUEUED,
        reason=why_not or reason,
        number=number,
    )


def _reminder_reason(alert: AlertRecord, channel: ChannelTerms, summary: DeliverySummary, now: datetime) -> str | None:
    if summary.sent_at is None or summary.has_open_reminder:
        return None
    if alert.acknowledged_until and summary.sent_at < alert.acknowledged_until <= now:
        return f"the acknowledgement by {alert.acknowledged_by} expired"
    if channel.reminder_seconds and now - summary.sent_at >= timedelta(seconds=channel.reminder_seconds):
        return "it still fires"
    return None
