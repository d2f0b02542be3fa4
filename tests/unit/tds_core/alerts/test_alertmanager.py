"""A notification of Alertmanager is read as it is documented, and whatever is missing or strange keeps nothing out."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tds_core.alerts.alertmanager import MOST_ALERTS, ExternalAlert, InvalidNotificationError, read_notification
from tds_models.alerts import AlertSeverity

#: Bodies that Alertmanager 0.25 sent.
RECORDED = Path(__file__).parents[3] / "integration" / "alerts" / "alertmanager.json"


def read(**alert: Any) -> ExternalAlert:
    [found] = read_notification({"version": "4", "alerts": [{"labels": {"alertname": "Full"}, **alert}]}).alerts
    return found


def test_what_alertmanager_sends_is_understood() -> None:
    slow, full, one_over = map(read_notification, json.loads(RECORDED.read_text()))
    [alert] = slow.alerts
    assert (alert.name, alert.labels, alert.severity) == ("TdsSlow", {"operation": "batch"}, AlertSeverity.WARNING)
    assert alert.says == "34 slow operations of kind batch in 15 minutes"
    assert (alert.starts_at, alert.ends_at) == (datetime(2026, 11, 29, 8, 5, 22, 376409, UTC), None)
    assert alert.link == "http://prometheus:9090/graph?g0.expr=x%3E1&g0.tab=1"
    assert [each.severity for each in full.alerts] == [AlertSeverity.CRITICAL, AlertSeverity.WARNING]
    assert full.alerts[0].link.startswith("https://runbooks.prometheus-operator.dev/")
    assert full.alerts[0].labels["instance"] == "[2001:db8::1]:9100"
    assert full.alerts[0].key != full.alerts[1].key
    assert [each.is_firing for each in one_over.alerts] == [False, True]
    assert one_over.alerts[0].key == full.alerts[0].key
    assert one_over.alerts[0].ends_at == datetime(2026, 11, 29, 8, 5, 27, tzinfo=UTC)


@pytest.mark.parametrize(("label", "severity"), [
    ("critical", "critical"), ("CRITICAL", "critical"), ("page", "critical"), ("error", "error"), ("major", "error"),
    ("warning", "warning"), ("info", "warning"), ("", "warning"), ("whatever", "warning"),
])  # fmt: skip
def test_severities_of_others_are_ours(label: str, severity: str) -> None:
    assert read(labels={"alertname": "Full", "severity": label}).severity == severity


def test_a_watchdog_is_not_for_people() -> None:
    assert read(labels={"alertname": "Watchdog", "severity": "none"}).severity is None


@pytest.mark.parametrize(("status", "ends_at", "is_firing"), [
    ("firing", "0001-01-01T00:00:00Z", True), ("resolved", "2026-11-29T08:00:00.123456789+03:00", False),
    (None, "0001-01-01T00:00:00Z", True), (None, "2026-11-29T08:00:00Z", False), ("silly", None, True),
    ("firing", "2026-11-29T08:00:00Z", True), (None, "yesterday", True), (None, 5, True),
])  # fmt: skip
def test_the_status_decides_and_without_one_the_end(status: str | None, ends_at: Any, is_firing: bool) -> None:
    assert read(status=status, endsAt=ends_at).is_firing is is_firing


@pytest.mark.parametrize("annotations", [None, 5, {}, {"summary": ""}, {"summary": 5}, {"runbook": "x"}])
def test_without_words_its_name_is_said(annotations: Any) -> None:
    assert read(annotations=annotations).says == "Full"


def test_of_words_the_summary_is_said_then_the_description() -> None:
    assert read(annotations={"description": "d", "message": "m"}).says == "d"
    assert read(annotations={"description": "d", "summary": "s"}).says == "s"


def test_texts_from_outside_are_one_clean_bounded_line() -> None:
    alert = read(
        labels={"alertname": "A\x1b[2J\0" * 90, "pod": "x" * 5000, "password": "p"},
        annotations={"summary": "one\ntwo\x07 password=hunter2hunter2 " + "y" * 9000},
    )
    for text in (alert.name, alert.says, *alert.labels.values()):
        assert text.isprintable()
        assert len(text) <= 500
    assert "hunter2" not in alert.says


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "ftp://x/", "http://", "//x", "http://u:p@x/", "http://[::1", "x" * 999, 5, None]
)
def test_a_link_that_nobody_should_open_is_left_out(link: Any) -> None:
    assert read(generatorURL=link).link == ""


def test_labels_are_bounded_and_yet_every_set_has_a_key_of_its_own() -> None:
    many = {f"label_{number:03}": "v" for number in range(300)}
    one, other = (read(labels={"alertname": "Full", **many, "label_299": value}) for value in "ab")
    assert len(one.labels) <= 30
    assert one.labels == other.labels
    assert one.key != other.key


@pytest.mark.parametrize("payload", [None, 5, "x", [], {}, {"alerts": None}, {"alerts": {}}, {"alerts": "x"}])
def test_what_is_no_notification_is_refused(payload: Any) -> None:
    with pytest.raises(InvalidNotificationError, match="alerts"):
        read_notification(payload)


def test_too_many_alerts_are_refused_with_the_setting_to_change() -> None:
    with pytest.raises(InvalidNotificationError, match="max_alerts"):
        read_notification({"alerts": [{}] * (MOST_ALERTS + 1)})


def test_alerts_without_a_name_are_counted_and_keep_no_other_out() -> None:
    strange = [None, 5, [], {}, {"labels": None}, {"labels": {}}, {"labels": {"alertname": ""}},
               {"labels": {"alertname": 5}}, {"labels": ["alertname"]}]  # fmt: skip
    found = read_notification({"alerts": [*strange, {"labels": {"alertname": "Full"}}], "truncatedAlerts": 3})
    assert (len(found.alerts), found.unreadable_count, found.truncated_count) == (1, len(strange), 3)


@pytest.mark.parametrize("count", [-1, "3", None, 1.5, 2**70])
def test_a_strange_count_of_truncated_alerts_is_none(count: Any) -> None:
    assert read_notification({"alerts": [], "truncatedAlerts": count}).truncated_count == 0
