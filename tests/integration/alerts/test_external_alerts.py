"""Alerts of Prometheus: they fire and end as Alertmanager says, once, with their messages, and never hang."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from tds_core.alerts import operator_actions, rule_terms
from tds_core.alerts.alert_store import alert_records, write_changes
from tds_core.alerts.alertmanager import read_notification
from tds_core.alerts.evaluation import Evaluator
from tds_core.alerts.external_alerts import IntakeResult, take
from tds_core.alerts.prometheus_rules import alert_name
from tds_core.alerts.rule import Rule
from tds_core.alerts.rules import RULES, rule_of
from tds_core.alerts.state_machine import AlertChange
from tds_core.retention import remove_old
from tests.support.alert_rules import AlertWorld, Switchboard
from tests.support.alertmanager import alert_of_prometheus, notification
from tests.support.world import World

STARTED = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)
ENDED = STARTED + timedelta(minutes=9)
RECORDED = json.loads((Path(__file__).parent / "alertmanager.json").read_text())


class Prometheus:
    """Alertmanager's end of the intake, and the evaluation that follows."""

    def __init__(self, world: World) -> None:
        board = Switchboard()
        self.rules: list[Rule] = [rule_of("external"), rule_of("pool_exhausted"), rule_of("database_lost"),
                                  board.rule("letters")]  # fmt: skip
        self.alerts = AlertWorld(world, Evaluator(self.rules), board)

    def sends(self, *alerts: Any) -> IntakeResult:
        return self.post(notification(*alerts))

    def post(self, payload: Any) -> IntakeResult:
        with self.alerts.scope() as session:
            return take(session, read_notification(payload), self.rules)

    def row(self) -> dict[str, Any]:
        [row] = self.alerts.world.rows("select * from tds_alerts")
        return dict(row)


@pytest.fixture
def prometheus(world: World) -> Prometheus:
    return Prometheus(world)


def test_names_in_prometheus_are_those_of_the_rules() -> None:
    assert alert_name(rule_of("api_down")) == "TdsApiDown"
    assert len({alert_name(rule) for rule in RULES}) == len(RULES)


def test_an_alert_fires_is_told_and_its_end_too(prometheus: Prometheus) -> None:
    prometheus.alerts.channel("desk")
    result = prometheus.sends(alert_of_prometheus("Full", severity="critical", disk="sda", summary="No room"))
    assert (result["received_count"], result["fired_count"]) == (1, 1)
    row = prometheus.row()
    assert (row["rule"], row["subject"], row["state"]) == ("external", "Full disk=sda", "firing")
    assert (row["severity"], row["summary"], row["value"]) == ("critical", "No room", None)
    prometheus.alerts.evaluate()
    [message] = prometheus.alerts.send()
    assert [each.alert.summary for each in message.deliveries] == ["No room"]
    ended = prometheus.sends(alert_of_prometheus("Full", severity="critical", disk="sda", ended=ENDED))
    assert ended["resolved_count"] == 1
    prometheus.alerts.send()
    assert prometheus.alerts.deliveries() == [("desk", "firing", "sent"), ("desk", "resolved", "sent")]
    reasons = prometheus.alerts.world.rows("select to_state, reason from tds_alert_transitions order by id")
    assert [tuple(each.values()) for each in map(dict, reasons)] == [
        ("firing", None), ("resolved", "Prometheus says that it is over")
    ]  # fmt: skip


def test_what_is_sent_again_changes_nothing(prometheus: Prometheus) -> None:
    alert = alert_of_prometheus("Full")
    assert prometheus.sends(alert, alert)["fired_count"] == 1
    again = prometheus.sends(alert)
    assert (again["fired_count"], again["repeated_count"]) == (0, 1)
    assert prometheus.row()["episode"] == 1
    for _ in range(2):
        over = prometheus.sends(alert_of_prometheus("Full", ended=ENDED))
    assert (over["resolved_count"], over["repeated_count"]) == (0, 1)
    assert prometheus.alerts.world.value("select count(*) from tds_alert_transitions") == 2


def test_the_warning_goes_on_when_the_critical_one_of_the_same_name_is_over(prometheus: Prometheus) -> None:
    for payload, severity in zip(RECORDED[1:], ("critical", "warning"), strict=True):
        prometheus.post(payload)
        row = prometheus.row()
        assert (row["state"], row["severity"]) == ("firing", severity)
    assert row["summary"] == "Filesystem is predicted to run out of space within the next 24 hours."
    assert "instance=[2001:db8::1]:9100" in row["subject"]


def test_an_end_from_before_the_beginning_is_an_old_one(prometheus: Prometheus) -> None:
    prometheus.sends(alert_of_prometheus("Full", started=STARTED))
    prometheus.sends(alert_of_prometheus("Full", started=STARTED - timedelta(hours=2), ended=STARTED - timedelta(1)))
    assert prometheus.row()["state"] == "firing"


def test_a_rule_of_tds_that_only_prometheus_measures_has_its_own_alerts(prometheus: Prometheus) -> None:
    with prometheus.alerts.scope() as session:
        rule_terms.change(session, rule_of("pool_exhausted"), {"severity": "error"}, by="ann")
    prometheus.sends(
        alert_of_prometheus(
            "TdsPoolExhausted", severity="warning", pool="api", job="tds", instance="a:1", rule="pool_exhausted"
        )
    )
    row = prometheus.row()
    assert (row["rule"], row["subject"], row["state"], row["severity"]) == ("pool_exhausted", "api", "firing", "error")


@pytest.mark.parametrize("name", ["TdsLetters", "TdsDatabaseLost"])
def test_what_tds_measures_itself_is_not_doubled(prometheus: Prometheus, name: str) -> None:
    result = prometheus.sends(alert_of_prometheus(name, severity="critical"))
    assert (result["noted_count"], result["fired_count"]) == (1, 0)
    assert prometheus.alerts.states() == {}


def test_a_name_like_ours_that_no_rule_has_is_external(prometheus: Prometheus) -> None:
    prometheus.sends(alert_of_prometheus("TdsOfAnotherVersion"))
    assert prometheus.alerts.states() == {("external", "TdsOfAnotherVersion"): "firing"}


def test_a_watchdog_is_noted_and_a_rule_switched_off_takes_nothing(prometheus: Prometheus) -> None:
    assert prometheus.sends(alert_of_prometheus("Watchdog", severity="none"))["noted_count"] == 1
    prometheus.sends(alert_of_prometheus("Full"))
    with prometheus.alerts.scope() as session:
        rule_terms.change(session, rule_of("external"), {"is_enabled": False}, by="ann")
    assert prometheus.sends(alert_of_prometheus("Other"))["noted_count"] == 1
    prometheus.alerts.evaluate()
    assert prometheus.alerts.states() == {("external", "Full"): "resolved"}


def test_one_that_is_repeated_no_longer_ends_after_a_day_and_says_why(prometheus: Prometheus) -> None:
    prometheus.alerts.channel("desk")
    prometheus.sends(alert_of_prometheus("Full"))
    prometheus.alerts.evaluate()
    prometheus.alerts.send()
    for _ in range(3):
        prometheus.alerts.wait(4 * 3600)
        prometheus.sends(alert_of_prometheus("Full"))
        prometheus.alerts.evaluate()
    prometheus.alerts.wait(23 * 3600)
    prometheus.alerts.evaluate()
    assert prometheus.row()["state"] == "firing"
    prometheus.alerts.wait(3600)
    prometheus.alerts.evaluate()
    assert prometheus.row()["state"] == "resolved"
    reason = prometheus.alerts.world.value("select reason from tds_alert_transitions order by id desc limit 1")
    assert "not heard of for 24 hours" in reason
    prometheus.alerts.send()
    assert ("desk", "resolved", "sent") in prometheus.alerts.deliveries()


def test_an_acknowledgement_expires_between_two_notifications(prometheus: Prometheus) -> None:
    prometheus.sends(alert_of_prometheus("Full"))
    with prometheus.alerts.scope() as session:
        operator_actions.acknowledge_alert(session, prometheus.row()["id"], by="ann", lasts=timedelta(hours=1))
    prometheus.sends(alert_of_prometheus("Full"))
    assert prometheus.row()["state"] == "acknowledged"
    prometheus.alerts.wait(3601)
    prometheus.alerts.evaluate()
    row = prometheus.row()
    assert (row["state"], row["summary"], row["value"]) == ("firing", "Full fires", None)
    assert datetime.now(UTC) - row["seen_at"] > timedelta(hours=1)


def test_one_that_comes_and_goes_flaps_until_it_is_calm(prometheus: Prometheus) -> None:
    for _ in range(4):
        prometheus.sends(alert_of_prometheus("Full"))
        prometheus.sends(alert_of_prometheus("Full", ended=ENDED))
    assert prometheus.row()["state"] == "flapping"
    prometheus.alerts.evaluate()
    assert prometheus.row()["state"] == "flapping"
    prometheus.alerts.wait(1801)
    prometheus.alerts.evaluate()
    assert prometheus.row()["state"] == "resolved"


def test_what_has_been_over_for_long_is_removed_and_its_history_kept(prometheus: Prometheus) -> None:
    prometheus.sends(*(alert_of_prometheus("PodDown", pod=name) for name in ("old", "new", "still")))
    prometheus.sends(*(alert_of_prometheus("PodDown", pod=name, ended=ENDED) for name in ("old", "new")))
    prometheus.alerts.world.execute("""
        update tds_alerts set changed_at = now() - interval '91 days' where subject not like '%new'""")
    with prometheus.alerts.scope() as session:
        assert remove_old(session, "tds_alerts", {}) == 1
    assert {subject for _, subject in prometheus.alerts.states()} == {"PodDown pod=new", "PodDown pod=still"}
    assert prometheus.alerts.world.value("select count(*) from tds_alert_transitions") == 5
    prometheus.sends(alert_of_prometheus("PodDown", pod="old"))
    assert prometheus.alerts.states()["external", "PodDown pod=old"] == "firing"


def test_hundreds_are_taken_in_by_few_statements_and_told_as_one_message(prometheus: Prometheus) -> None:
    prometheus.alerts.channel("desk")
    many = [alert_of_prometheus("PodDown", pod=f"shop-{number}", summary="x" * 300) for number in range(800)]
    assert prometheus.sends(*many)["fired_count"] == 800
    prometheus.alerts.evaluate()
    [message] = prometheus.alerts.send()
    assert len(message.deliveries) == 800


def test_labels_too_long_for_a_subject_share_a_row_that_fires_while_one_of_them_does(prometheus: Prometheus) -> None:
    one, other = ({f"label_{n}": "x" * 90 for n in range(6)} | {"label_9": each} for each in "ab")
    prometheus.sends(alert_of_prometheus("Full", **one), alert_of_prometheus("Full", **other))
    assert len(prometheus.row()["subject"]) <= 200
    prometheus.sends(alert_of_prometheus("Full", ended=ENDED, **one))
    assert prometheus.row()["state"] == "firing"
    prometheus.sends(alert_of_prometheus("Full", ended=ENDED, **other))
    assert prometheus.row()["state"] == "resolved"


def test_two_notifications_at_once_make_one_alert(prometheus: Prometheus) -> None:
    barrier, errors = Barrier(4), []

    def send() -> None:
        barrier.wait()
        try:
            prometheus.sends(alert_of_prometheus("Full"), alert_of_prometheus("Other", severity="error"))
        except Exception as error:
            errors.append(error)

    threads = [Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert prometheus.alerts.world.value("select count(*) from tds_alert_transitions") == 2


def test_an_evaluation_that_began_before_a_notification_takes_nothing_of_it_back(prometheus: Prometheus) -> None:
    prometheus.sends(alert_of_prometheus("Full", severity="warning"))
    with prometheus.alerts.scope() as session:
        [stale] = alert_records(session)
    prometheus.sends(alert_of_prometheus("Full", severity="critical"))
    with prometheus.alerts.scope() as session:
        assert (
            write_changes(session, [AlertChange(before=stale, after=replace(stale, muted_by="letters"))], ENDED) == {}
        )
    assert (prometheus.row()["severity"], prometheus.row()["muted_by"]) == ("critical", None)
