"""Which messages channels should get follows from alerts, silences, and what they got before."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tds_core.alerts.delivery_plan import (
    CauseSeverities,
    ChannelHistory,
    ChannelTerms,
    DeliverySummary,
    PlannedDelivery,
    plan,
)
from tds_core.alerts.silences import Silence, silences_on
from tds_core.alerts.state_machine import AlertRecord
from tds_models.alerts import AlertDeliveryState, AlertMessageKind, AlertSeverity, AlertState

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DESK = ChannelTerms(
    id=1, name="desk", minimum_severity=AlertSeverity.WARNING, after_seconds=0, reminder_seconds=14_400,
    quiet_hours=None, time_zone="UTC",
)  # fmt: skip
BOSS = replace(DESK, id=2, name="boss", after_seconds=900)
ALERT = AlertRecord(
    id=7, rule="backlog", subject="", severity=AlertSeverity.ERROR, state=AlertState.FIRING, episode=2, fired_at=NOON
)
SILENCE = Silence(id=3, rules=("back*",), starts_at=NOON, ends_at=NOON + timedelta(hours=1), reason="moving")
SENT = DeliverySummary(state=AlertDeliveryState.SENT, sent_at=NOON)


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def planned(
    alert: AlertRecord = ALERT,
    channel: ChannelTerms = DESK,
    got: DeliverySummary | None = None,
    *silences: Silence,
    seconds: float = 1.0,
    causes: CauseSeverities | None = None,
) -> PlannedDelivery | None:
    history = ChannelHistory(summaries={(7, channel.id): got} if got else {})
    on_now = silences_on(silences, later(seconds))
    found = plan([alert], [channel], history, on_now, causes=causes or {}, now=later(seconds))
    assert len(found) <= 1
    return found[0] if found else None


def state_and_reason(each: PlannedDelivery | None) -> tuple[str, str | None] | None:
    return (each.state.value, each.reason) if each else None


def test_an_alert_that_fires_is_told_once() -> None:
    first = planned()
    assert first is not None
    assert (first.alert_id, first.episode, first.channel_id, first.kind) == (7, 2, 1, AlertMessageKind.FIRING)
    assert state_and_reason(first) == ("queued", None)
    assert planned(got=SENT) is None
    assert planned(got=DeliverySummary(state=AlertDeliveryState.QUEUED)) is None
    assert planned(got=DeliverySummary(state=AlertDeliveryState.FAILED)) is None


@pytest.mark.parametrize("state", sorted(set(AlertState) - {AlertState.FIRING, AlertState.FLAPPING}))
def test_no_other_state_is_told(state: AlertState) -> None:
    assert planned(replace(ALERT, state=state)) is None


def test_a_channel_hears_of_what_is_bad_enough_for_it() -> None:
    assert planned(channel=replace(DESK, minimum_severity=AlertSeverity.CRITICAL)) is None
    assert planned(channel=replace(DESK, minimum_severity=AlertSeverity.ERROR)) is not None


def test_a_step_of_escalation_comes_when_nobody_acknowledged_in_time() -> None:
    assert planned(channel=BOSS, seconds=899) is None
    assert state_and_reason(planned(channel=BOSS, seconds=900)) == ("queued", "nobody acknowledged it")
    assert planned(replace(ALERT, state=AlertState.ACKNOWLEDGED), BOSS, seconds=900) is None


def test_reminders_come_at_their_interval_and_one_at_a_time() -> None:
    assert planned(got=SENT, seconds=14_399) is None
    reminder = planned(got=replace(SENT, reminder_count=2), seconds=14_400)
    assert reminder is not None
    assert (reminder.kind, reminder.number, reminder.reason) == (AlertMessageKind.REMINDER, 3, "it still fires")
    assert planned(got=replace(SENT, has_open_reminder=True), seconds=99_999) is None
    assert planned(channel=replace(DESK, reminder_seconds=0), got=SENT, seconds=99_999) is None


def test_an_expired_acknowledgement_reminds_at_once() -> None:
    alert = replace(ALERT, acknowledged_by="ann", acknowledged_until=later(100))
    reminder = planned(alert, got=SENT, seconds=101)
    assert reminder is not None
    assert reminder.reason == "the acknowledgement by ann expired"
    assert planned(alert, got=replace(SENT, sent_at=later(102)), seconds=103) is None


def test_what_was_acknowledged_before_it_was_sent_is_sent_when_that_expires() -> None:
    got = DeliverySummary(state=AlertDeliveryState.SUPERSEDED, reason="acknowledged")
    assert state_and_reason(planned(got=got)) == ("queued", "over: acknowledged")


def test_a_silence_suppresses_and_its_end_tells() -> None:
    assert state_and_reason(planned(ALERT, DESK, None, SILENCE)) == ("suppressed", "silence 3")
    got = DeliverySummary(state=AlertDeliveryState.SUPPRESSED, reason="silence 3")
    assert planned(ALERT, DESK, got, SILENCE) is None
    assert state_and_reason(planned(got=got)) == ("queued", "over: silence 3")
    assert planned(ALERT, DESK, SENT, SILENCE, seconds=14_400) is not None  # it ended by then
    assert planned(ALERT, DESK, SENT, replace(SILENCE, ends_at=later(99_999)), seconds=14_400) is None


def test_a_cause_mutes_its_consequence() -> None:
    assert state_and_reason(planned(replace(ALERT, muted_by="redis_lost"))) == ("suppressed", "muted by redis_lost")


@pytest.mark.parametrize(
    ("cause", "least", "is_muted"),
    [
        ("critical", "critical", True), ("error", "warning", True), ("error", "error", True),
        ("error", "critical", False), ("warning", "error", False),
    ],
)  # fmt: skip
def test_a_cause_mutes_only_where_it_is_told_itself(cause: str, least: str, is_muted: bool) -> None:
    alert = replace(ALERT, muted_by="broker", severity=AlertSeverity.CRITICAL)
    channel = replace(DESK, minimum_severity=AlertSeverity(least))
    each = planned(alert, channel, causes={"broker": AlertSeverity(cause)})
    assert state_and_reason(each) == (("suppressed", "muted by broker") if is_muted else ("queued", None))


@pytest.mark.parametrize(
    ("cause", "alert", "expected"),
    [
        ("error", "critical", ("queued", None)), ("critical", "critical", ("suppressed", "muted by broker")),
        ("error", "error", ("suppressed", "muted by broker")),
    ],
)  # fmt: skip
def test_what_is_critical_does_not_wait_for_a_cause_that_quiet_hours_keep_back(
    cause: str, alert: str, expected: tuple[str, str | None]
) -> None:
    quiet = replace(DESK, quiet_hours="11:00-13:00")
    muted = replace(ALERT, muted_by="broker", severity=AlertSeverity(alert))
    assert state_and_reason(planned(muted, quiet, causes={"broker": AlertSeverity(cause)})) == expected


@pytest.mark.parametrize(
    ("hours", "clock", "is_quiet"),
    [
        ("22:00-07:00", "22:00", True), ("22:00-07:00", "06:59", True), ("22:00-07:00", "07:00", False),
        ("13:00-14:00", "13:30", True), ("13:00-14:00", "12:59", False),
    ],
)  # fmt: skip
def test_quiet_hours_are_of_the_channels_zone_and_let_what_is_critical_pass(
    hours: str, clock: str, is_quiet: bool
) -> None:
    hour, minute = map(int, clock.split(":"))
    seconds = ((hour - 3) % 24 - 12) * 3600 + minute * 60  # Baghdad is three hours ahead of UTC
    channel = replace(DESK, quiet_hours=hours, time_zone="Asia/Baghdad")
    alert = replace(ALERT, fired_at=later(-99_999))
    each = planned(alert, channel, seconds=seconds)
    assert each is not None
    assert (each.state is AlertDeliveryState.SUPPRESSED) is is_quiet
    critical = planned(replace(alert, severity=AlertSeverity.CRITICAL), channel, seconds=seconds)
    assert critical is not None
    assert critical.state is AlertDeliveryState.QUEUED


def test_further_alerts_of_a_rule_wait_for_each_other_unless_they_are_critical() -> None:
    history = ChannelHistory(summaries={}, recent_groups={("backlog", 1)})
    assert plan([ALERT], [DESK], history, [], causes={}, now=later(1)) == []
    critical = replace(ALERT, severity=AlertSeverity.CRITICAL)
    assert len(plan([critical], [DESK], history, [], causes={}, now=later(1))) == 1
