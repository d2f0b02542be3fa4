"""An alert moves from state to state by readings and time alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tds_core.alerts import state_machine
from tds_core.alerts.rule import RuleTerms, RuleValue
from tds_core.alerts.state_machine import AlertChange, AlertRecord
from tds_models.alerts import AlertSeverity, AlertState

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TERMS = RuleTerms(
    name="backlog", version=1, is_enabled=True, severity=AlertSeverity.WARNING, threshold=1000, for_seconds=60,
    keep_seconds=30,
)  # fmt: skip
AT_ONCE = replace(TERMS, for_seconds=0)
QUIET = AlertRecord(rule="backlog", subject="", severity=AlertSeverity.WARNING)
READING = RuleValue(value=1200, says="1,200 items wait")


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def meet(alert: AlertRecord, seconds: float, terms: RuleTerms = TERMS) -> AlertChange:
    return state_machine.meet(alert, READING, terms, later(seconds))


def end(alert: AlertRecord, seconds: float, terms: RuleTerms = TERMS) -> AlertChange:
    return state_machine.end(alert, terms, later(seconds))


def fired(seconds: float = 0.0) -> AlertRecord:
    return meet(QUIET, seconds, AT_ONCE).after


def flapping() -> AlertRecord:
    alert = QUIET
    for number in range(state_machine.FLAPPING_FIRINGS):
        alert = meet(alert, number * 300, AT_ONCE).after
        if alert.state is AlertState.FLAPPING:
            break
        alert = end(alert, number * 300 + 60).after
    return alert


def test_it_is_pending_until_the_condition_is_met_for_long_enough() -> None:
    pending = meet(QUIET, 0).after
    assert (pending.state, pending.since_at, pending.episode) == (AlertState.PENDING, NOON, 0)
    still = meet(pending, 59)
    assert not still.is_transition
    assert still.after.seen_at == later(59)
    firing = meet(still.after, 60).after
    assert (firing.state, firing.episode, firing.fired_at, firing.since_at) == (AlertState.FIRING, 1, later(60), NOON)
    assert (firing.value, firing.summary) == (1200, "1,200 items wait")


def test_a_condition_met_for_a_moment_ends_without_a_message() -> None:
    change = end(meet(QUIET, 0).after, 15)
    assert (change.after.state, change.after.since_at) == (AlertState.OK, None)


def test_it_is_resolved_when_the_condition_stayed_away_for_long_enough() -> None:
    alert = fired()
    assert end(alert, 29).after.state is AlertState.FIRING
    resolved = end(alert, 30).after
    assert (resolved.state, resolved.resolved_at) == (AlertState.RESOLVED, later(30))


def test_a_gap_in_the_condition_resolves_nothing() -> None:
    alert = meet(end(fired(), 20).after, 35).after
    assert end(alert, 60).after.state is AlertState.FIRING
    assert alert.since_at == NOON


def test_it_fires_again_as_the_next_episode_without_the_old_acknowledgement() -> None:
    acknowledged = state_machine.acknowledge(fired(), later(5), by="ann", until=later(3600), note="mine").after
    again = meet(end(acknowledged, 60).after, 120, AT_ONCE).after
    assert (again.state, again.episode, again.acknowledged_by, again.note) == (AlertState.FIRING, 2, None, None)


def test_an_acknowledgement_expires() -> None:
    acknowledged = state_machine.acknowledge(fired(), later(5), by="ann", until=later(100), note=None).after
    assert meet(acknowledged, 99).after.state is AlertState.ACKNOWLEDGED
    expired = meet(acknowledged, 100)
    assert (expired.after.state, expired.after.episode) == (AlertState.FIRING, 1)
    assert expired.reason == "the acknowledgement by ann expired"


def test_acknowledging_again_is_a_transition_of_its_own() -> None:
    once = state_machine.acknowledge(fired(), later(5), by="ann", until=later(100), note=None).after
    assert state_machine.acknowledge(once, later(6), by="bob", until=later(200), note=None).is_transition


def test_what_fires_again_and_again_is_flapping_and_needs_calm_to_end() -> None:
    alert = flapping()
    began = alert.fired_at
    assert (alert.state, alert.episode) == (AlertState.FLAPPING, state_machine.FLAPPING_FIRINGS)
    assert began is not None
    seconds = (began - NOON).total_seconds()
    assert end(alert, seconds + 600).after.state is AlertState.FLAPPING
    met_again = meet(end(alert, seconds + 600).after, seconds + 900, AT_ONCE)
    assert not met_again.is_transition
    assert end(met_again.after, seconds + 900 + 1799).after.state is AlertState.FLAPPING
    assert end(met_again.after, seconds + 900 + 1800).after.state is AlertState.RESOLVED


def test_what_flapped_and_then_stays_on_fires() -> None:
    alert = flapping()
    seconds = (alert.fired_at or NOON).timestamp() - NOON.timestamp()
    assert meet(alert, seconds + 1799).after.state is AlertState.FLAPPING
    steady = meet(alert, seconds + 1800)
    assert (steady.after.state, steady.after.episode) == (AlertState.FIRING, alert.episode)


def test_what_flapped_long_ago_ends_like_any_other() -> None:
    days = 3 * 86_400
    steady = meet(replace(flapping(), state=AlertState.FIRING), days).after
    assert end(steady, days + 30).after.state is AlertState.RESOLVED


def test_an_acknowledged_flapping_alert_needs_calm_to_end_too() -> None:
    acknowledged = state_machine.acknowledge(flapping(), later(2000), by="ann", until=later(9999), note=None).after
    assert end(acknowledged, 2100).after.state is AlertState.ACKNOWLEDGED


@pytest.mark.parametrize("state", [AlertState.OK, AlertState.RESOLVED])
def test_without_data_a_quiet_alert_says_so(state: AlertState) -> None:
    lost = state_machine.mark_unmeasured(replace(QUIET, state=state), "not measured: KeyError", NOON)
    assert (lost.after.state, lost.after.summary) == (AlertState.NO_DATA, "not measured: KeyError")
    assert end(lost.after, 15).after.state is AlertState.OK
    assert meet(lost.after, 15).after.state is AlertState.PENDING


@pytest.mark.parametrize("state", [AlertState.PENDING, AlertState.FIRING, AlertState.ACKNOWLEDGED])
def test_without_data_nothing_ends(state: AlertState) -> None:
    assert not state_machine.mark_unmeasured(replace(fired(), state=state), "x", later(600)).is_transition


def test_a_rule_that_is_switched_off_ends_its_alerts_at_once() -> None:
    ended = state_machine.end(fired(), TERMS, later(1), reason="the rule was switched off")
    assert (ended.after.state, ended.reason) == (AlertState.RESOLVED, "the rule was switched off")


def test_a_new_severity_reaches_alerts_that_fire() -> None:
    changed = meet(fired(), 15, replace(AT_ONCE, severity=AlertSeverity.CRITICAL))
    assert (changed.after.severity, changed.is_transition) == (AlertSeverity.CRITICAL, False)
