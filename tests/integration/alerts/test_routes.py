"""Alerts over HTTP: who may read and act, what conflicts, what is refused, and what Alertmanager may send."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from tds_core.alerts.rules import RULES
from tds_core.auth import api_keys
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.support.alertmanager import alert_of_prometheus, notification
from tests.support.webhook_sender import TOKEN, Sender, sender_for

ALERTS, SILENCES, RULES_PATH = "/api/tds/alerts", "/api/tds/alert-silences", "/api/tds/alert-rules"
INTAKE = f"{ALERTS}/prometheus"
ENDED = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


def ask(sender: Sender, method: str, path: str, body: Any = None, *, key: str = TOKEN, **headers: str) -> TestResponse:
    all_headers = {"Authorization": f"Bearer {key}", **headers}
    return sender.app.test_client().open(path, method=method, json=body, headers=all_headers)


def fire(sender: Sender, name: str = "Full", **labels: str) -> str:
    """An alert that fires; its id."""
    assert sender.post(INTAKE, notification(alert_of_prometheus(name, **labels))).status_code == 200
    return str(sender.get(ALERTS).json["items"][0]["id"])


def key_of(sender: Sender, role: Role, *scopes: str) -> str:
    with session_scope(sender.engine) as session:
        return api_keys.create_key(session, name=role.value, role=role, by="test", scopes=scopes)[1]


def test_alerts_are_listed_filtered_and_paged(sender: Sender) -> None:
    for number in range(5):
        fire(sender, f"Alert{number}", severity="critical" if number == 3 else "warning")
    sender.post(INTAKE, notification(alert_of_prometheus("Alert0", ended=ENDED, severity="warning")))
    listed = sender.get(ALERTS, active="true").json["items"]
    assert [each["subject"] for each in listed] == ["Alert4", "Alert3", "Alert2", "Alert1"]
    assert [each["subject"] for each in sender.get(ALERTS, active="false").json["items"]] == ["Alert0"]
    assert [each["subject"] for each in sender.get(ALERTS, severity="critical").json["items"]] == ["Alert3"]
    assert [each["subject"] for each in sender.get(ALERTS, state="resolved").json["items"]] == ["Alert0"]
    assert sender.get(ALERTS, rule="backlog").json["items"] == []
    first = sender.get(ALERTS, limit=3).json
    rest = sender.get(ALERTS, limit=3, cursor=first["next_cursor"]).json
    assert (len(first["items"]), len(rest["items"]), rest["next_cursor"]) == (3, 2, None)
    for wrong in ({"severity": "bad"}, {"state": "bad"}, {"limit": 0}, {"active": "perhaps"}, {"rule": "\0"}):
        assert sender.get(ALERTS, **wrong).status_code == 422, wrong
    assert sender.get(ALERTS, cursor="x").json["code"] == "invalid_cursor"


def test_an_alert_has_its_words_and_its_story_and_nothing_of_tds_itself(sender: Sender) -> None:
    number = fire(sender, severity="critical", disk="sda")
    story = sender.get(f"{ALERTS}/{number}").json
    assert (story["alert"]["subject"], story["alert"]["severity"]) == ("Full disk=sda", "critical")
    assert story["alert"]["detail"]["labels"] == {"disk": "sda"}
    assert "_members" not in story["alert"]["detail"]
    assert story["advice"]["title"] == "An alert of Prometheus"
    assert [(each["from_state"], each["to_state"]) for each in story["transitions"]] == [("ok", "firing")]
    assert (story["deliveries"], story["mutes"]) == ([], [])
    assert "_members" not in sender.get(ALERTS).text


@pytest.mark.parametrize("number", ["0", "7", "9" * 30])
@pytest.mark.parametrize(("method", "verb", "body"), [
    ("GET", "", None), ("POST", "/acknowledge", {}), ("POST", "/unacknowledge", None), ("POST", "/resolve", {}),
    ("POST", "/silence", {"lasts_seconds": 60, "reason": "x"}),
])  # fmt: skip
def test_an_alert_that_is_not_there_is_not_found(
    sender: Sender, number: str, method: str, verb: str, body: Any
) -> None:
    answer = ask(sender, method, f"{ALERTS}/{number}{verb}", body)
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert "tds alerts list" in answer.json["detail"]


def test_it_is_acknowledged_given_back_resolved_and_all_of_it_is_history(sender: Sender) -> None:
    number = fire(sender)
    taken = sender.post(f"{ALERTS}/{number}/acknowledge", {"lasts_seconds": 600, "note": "on it"}).json
    assert (taken["state"], taken["acknowledged_by"], taken["note"]) == ("acknowledged", "token", "on it")
    until = datetime.fromisoformat(taken["acknowledged_until"]) - datetime.fromisoformat(taken["acknowledged_at"])
    assert until == timedelta(minutes=10)
    assert sender.post(f"{ALERTS}/{number}/unacknowledge").json["state"] == "firing"
    assert sender.post(f"{ALERTS}/{number}/acknowledge", {}).json["state"] == "acknowledged"
    assert sender.post(f"{ALERTS}/{number}/resolve", {"note": "mended"}).json["state"] == "resolved"
    for verb in ("acknowledge", "unacknowledge", "resolve"):
        refused = sender.post(f"{ALERTS}/{number}/{verb}", {})
        assert (refused.status_code, refused.json["code"]) == (409, "alert_not_firing")
    history = sender.get(f"{ALERTS}/history").json["items"]
    assert [each["to_state"] for each in history] == ["resolved", "acknowledged", "firing", "acknowledged", "firing"]
    assert (history[0]["reason"], history[0]["changed_by"], history[-1]["changed_by"]) == ("mended", "token", "tds")
    assert sender.get(f"{ALERTS}/history", rule="backlog").json["items"] == []
    page = sender.get(f"{ALERTS}/history", limit=2).json
    assert len(sender.get(f"{ALERTS}/history", cursor=page["next_cursor"]).json["items"]) == 3


@pytest.mark.parametrize(("verb", "wrong"), [
    ("acknowledge", {"lasts_seconds": 59}), ("acknowledge", {"lasts_seconds": 8 * 86400}),
    ("acknowledge", {"note": ""}), ("acknowledge", {"note": "x" * 501}), ("acknowledge", {"note": "\0"}),
    ("resolve", {"note": 5}), ("silence", {}), ("silence", {"lasts_seconds": 60}), ("silence", {"reason": "x"}),
    ("silence", {"lasts_seconds": 0, "reason": "x"}), ("silence", {"lasts_seconds": 60, "reason": " "}),
    ("silence", {"lasts_seconds": 1e12, "reason": "x"}),
])  # fmt: skip
def test_what_makes_no_sense_is_refused_and_changes_nothing(sender: Sender, verb: str, wrong: Any) -> None:
    number = fire(sender)
    assert sender.post(f"{ALERTS}/{number}/{verb}", wrong).status_code == 422
    assert (sender.count("tds_alert_silences"), sender.count("tds_alert_transitions")) == (0, 1)


def test_a_silence_of_an_alert_mutes_that_one_and_no_other(sender: Sender) -> None:
    fire(sender, "Full", disk="sdb")
    number = fire(sender, "Full", disk="[a-z]*")
    made = sender.post(
        f"{ALERTS}/{number}/silence", {"lasts_seconds": 7200, "reason": "known", "ends_with_alert": True}
    )
    assert made.status_code == 201
    assert (made.json["mutes"]["matching_count"], made.json["mutes"]["warning"]) == (1, None)
    assert made.json["mutes"]["matching"] == [f"{number} external Full disk=[a-z]*"]
    silence = made.json["silence"]
    assert (silence["state"], silence["reason"], silence["created_by"]) == ("active", "known", "token")
    assert silence["ends_with_alerts"] is True
    assert [each["id"] for each in sender.get(SILENCES, open="true").json["items"]] == [silence["id"]]


def test_silences_are_previewed_made_extended_and_ended(sender: Sender) -> None:
    fire(sender, "Full", severity="critical")
    wanted = {"rules": ["ext*"], "severities": ["critical"], "reason": "move of the disk", "lasts_seconds": 3600}
    preview = sender.post(f"{SILENCES}/preview", wanted)
    assert (preview.status_code, preview.json["matching_count"], sender.count("tds_alert_silences")) == (200, 1, 0)
    nothing = sender.post(f"{SILENCES}/preview", {**wanted, "subjects": ["Other*"]}).json
    assert (nothing["matching_count"], "check the rule's name" in nothing["warning"]) == (0, True)
    number = sender.post(SILENCES, wanted).json["silence"]["id"]
    later = sender.post(f"{SILENCES}/{number}/extend", {"lasts_seconds": 86400}).json
    assert datetime.fromisoformat(later["ends_at"]) - datetime.now(UTC) > timedelta(hours=23)
    ended = sender.post(f"{SILENCES}/{number}/end").json
    assert (ended["state"], ended["ended_by"]) == ("ended", "token")
    assert sender.post(f"{SILENCES}/{number}/end").json["ended_at"] == ended["ended_at"]
    assert sender.post(f"{SILENCES}/{number}/extend", {"lasts_seconds": 60}).status_code == 404
    assert sender.get(SILENCES, open="true").json["items"] == []
    assert [each["id"] for each in sender.get(SILENCES).json["items"]] == [number]
    for verb, body in (("end", None), ("extend", {"lasts_seconds": 60})):
        assert sender.post(f"{SILENCES}/{'9' * 30}/{verb}", body).status_code == 404


def test_a_maintenance_window_recurs_for_a_year(sender: Sender) -> None:
    made = sender.post(
        SILENCES, {"rules": ["*"], "cron": "0 2 * * 0 Asia/Baghdad", "duration_seconds": 7200, "reason": "backup"}
    )
    silence = made.json["silence"]
    assert (made.status_code, silence["cron"], silence["duration_seconds"]) == (201, "0 2 * * 0 Asia/Baghdad", 7200)
    assert datetime.fromisoformat(silence["ends_at"]) - datetime.now(UTC) > timedelta(days=365)
    body = {"rules": ["*"], "cron": "* * * * *", "duration_seconds": 120, "reason": "always"}
    always = sender.post(SILENCES, body).json["silence"]
    assert always["state"] == "active"


@pytest.mark.parametrize("wrong", [
    {}, {"lasts_seconds": None}, {"lasts_seconds": 60, "ends_at": "2030-01-01T00:00:00Z"},
    {"ends_at": "2020-01-01T00:00:00Z"}, {"ends_at": "2099-01-01T00:00:00Z"}, {"lasts_seconds": 60, "reason": ""},
    {"lasts_seconds": 60, "severities": ["bad"]}, {"lasts_seconds": 60, "rules": "external"},
    {"lasts_seconds": 60, "rules": ["\0"]}, {"lasts_seconds": 60, "rules": ["x"] * 51}, {"cron": "0 2 * * 0"},
    {"duration_seconds": 60, "lasts_seconds": 60}, {"cron": "nonsense", "duration_seconds": 60},
    {"cron": "0 2 * * 0 Nowhere/City", "duration_seconds": 60}, {"cron": "0 2 * * 0", "duration_seconds": 5},
    {"cron": "0 2 * * 0", "duration_seconds": 60, "ends_with_alerts": True},
    {"starts_at": "2030-01-01T00:00:00Z", "ends_at": "2029-01-01T00:00:00Z"},
])  # fmt: skip
@pytest.mark.parametrize("path", [SILENCES, f"{SILENCES}/preview"])
def test_a_silence_that_makes_no_sense_is_refused(sender: Sender, path: str, wrong: dict[str, Any]) -> None:
    assert sender.post(path, {"reason": "x", "rules": ["backlog"], **wrong}).status_code == 422
    assert sender.count("tds_alert_silences") == 0


def test_a_silence_of_everything_says_so(sender: Sender) -> None:
    refused = sender.post(SILENCES, {"reason": "x", "lasts_seconds": 60})
    assert (refused.status_code, "Say which alerts" in refused.text) == (422, True)
    assert sender.post(SILENCES, {"reason": "x", "lasts_seconds": 60, "rules": ["*"]}).status_code == 201


@pytest.mark.parametrize("more", [{"lasts_seconds": 1000}, {"cron": "0 2 * * *", "duration_seconds": 60}])
def test_a_silence_at_the_end_of_time_is_refused(sender: Sender, more: dict[str, Any]) -> None:
    body = {"reason": "x", "rules": ["backlog"], "starts_at": "9999-12-31T23:59:59Z", **more}
    assert sender.post(SILENCES, body).status_code == 422


def test_rules_are_shown_with_their_words_and_terms(sender: Sender) -> None:
    listed = sender.get(RULES_PATH).json
    assert [each["name"] for each in listed] == [rule.name for rule in RULES]
    assert all(each["terms"]["is_enabled"] and each["terms"]["changed_by"] == "tds" for each in listed)
    fire(sender)
    external = sender.get(f"{RULES_PATH}/external").json
    assert (external["active_count"], external["is_measured"], len(external["versions"])) == (1, False, 1)
    for name in ("nothing", "%00", "sh%C3%B6p", "x" * 300):
        for method, path, body in (
            ("GET", name, None), ("PUT", name, {"threshold": 1}), ("POST", f"{name}/reset", None),
            ("GET", f"{name}/dry-run", None),
        ):  # fmt: skip
            assert ask(sender, method, f"{RULES_PATH}/{path}", body).status_code == 404, (method, path)


def test_terms_are_changed_by_version_and_reset(sender: Sender) -> None:
    declared = sender.get(f"{RULES_PATH}/backlog").json["declared"]
    change = {"threshold": 50.5, "severity": "critical", "for_seconds": 5, "keep_seconds": 0, "reason": "small shop"}
    changed = ask(sender, "PUT", f"{RULES_PATH}/backlog", {**change, "version": 1}).json
    assert {name: changed["terms"][name] for name in change} == change
    assert (changed["terms"]["version"], changed["terms"]["changed_by"]) == (2, "token")
    stale = ask(sender, "PUT", f"{RULES_PATH}/backlog", {"threshold": 1, "version": 1})
    assert (stale.status_code, stale.json["code"]) == (409, "stale_alert_rule")
    off = ask(sender, "PUT", f"{RULES_PATH}/backlog", {"is_enabled": False}).json["terms"]
    assert (off["is_enabled"], off["threshold"]) == (False, 50.5)
    reset = sender.post(f"{RULES_PATH}/backlog/reset").json
    assert {name: reset["terms"][name] for name in declared} == declared
    assert [each["version"] for each in reset["versions"]] == [4, 3, 2, 1]


@pytest.mark.parametrize("wrong", [
    {"threshold": "much"}, {"threshold": 1e16}, {"severity": "bad"}, {"for_seconds": -1},
    {"keep_seconds": 8 * 86400}, {"is_enabled": "perhaps"}, {"reason": ""}, {"version": 0}, {"threshold": None},
])  # fmt: skip
def test_terms_that_make_no_sense_are_refused(sender: Sender, wrong: dict[str, Any]) -> None:
    assert ask(sender, "PUT", f"{RULES_PATH}/backlog", wrong).status_code == 422
    assert len(sender.get(f"{RULES_PATH}/backlog").json["versions"]) == 1


def test_a_dry_run_says_what_other_terms_would_have_done(sender: Sender) -> None:
    measured = "insert into tds_metrics (name, subject, at, value) values ('backlog', '', now() - interval '{}', {})"
    with sender.engine.begin() as connection:
        for ago, value in (("3 hours", 700), ("2 hours", 100)):
            connection.exec_driver_sql(measured.format(ago, value))
    path = f"{RULES_PATH}/backlog/dry-run"
    assert sender.get(path).json["firing_count"] == 0
    found = sender.get(path, threshold=500, for_seconds=60, keep_seconds=60, days=1).json
    assert (found["firing_count"], found["firings"][0]["subject"], found["days"]) == (1, "", 1)
    assert 3400 < found["firing_seconds"] < 3700
    assert "would have fired once" in found["says"]
    for wrong in ({"days": 0}, {"days": 31}, {"threshold": "x"}, {"threshold": "nan"}, {"for_seconds": -1}):
        assert sender.get(path, **wrong).status_code == 422, wrong
    assert len(sender.get(f"{RULES_PATH}/backlog").json["versions"]) == 1


def test_a_change_sent_twice_is_made_once(sender: Sender) -> None:
    number = fire(sender)
    for path, body in (
        (f"{ALERTS}/{number}/acknowledge", {}), (SILENCES, {"rules": ["*"], "reason": "x", "lasts_seconds": 60}),
        (f"{RULES_PATH}/backlog/reset", None),
    ):  # fmt: skip
        once, again = (ask(sender, "POST", path, body, **{"Idempotency-Key": path}) for _ in range(2))
        assert (once.status_code < 300, again.data) == (True, once.data)
        assert again.headers["Idempotent-Replayed"] == "true"
    assert (sender.count("tds_alert_silences"), sender.count("tds_alert_transitions")) == (1, 2)


def test_alertmanager_needs_a_key_that_opens_this_alone(sender: Sender) -> None:
    key = key_of(sender, Role.OPERATOR, "alerts/prometheus")
    recorded = json.loads((Path(__file__).parent / "alertmanager.json").read_text())
    for body in recorded:
        answer = ask(sender, "POST", INTAKE, body, key=key)
        assert answer.status_code == 200, answer.text
    assert answer.json["received_count"] == 2
    assert ask(sender, "GET", ALERTS, key=key).status_code == 403
    assert ask(sender, "POST", INTAKE, recorded[0], key=key_of(sender, Role.VIEWER)).status_code == 403
    assert sender.app.test_client().post(INTAKE, json=recorded[0]).status_code == 401
    logged = sender.rows("select distinct operation from tds_operator_actions where outcome = 'done'")
    assert [row[0] for row in logged] == ["alerts.prometheus"]


@pytest.mark.parametrize("body", [
    {}, {"alerts": None}, {"alerts": {}}, {"alerts": [5]}, {"alerts": [{}] * 2001}, [], {"alerts": [], "version": 4},
])  # fmt: skip
def test_what_alertmanager_does_not_send_is_refused(sender: Sender, body: Any) -> None:
    assert sender.post(INTAKE, body).status_code == 422


def test_strange_alerts_are_counted_and_harm_nothing(sender: Sender) -> None:
    strange = [{}, {"labels": 5}, {"labels": {"alertname": "\0\x1b"}, "startsAt": "9" * 999, "annotations": []},
               {"labels": {"alertname": "A" * 9000, "b" * 9000: "c" * 9000}, "status": {"x": 1}}]  # fmt: skip
    answer = sender.post(INTAKE, {"alerts": strange})
    assert (answer.status_code, answer.json["received_count"], answer.json["unreadable_count"]) == (200, 4, 2)
    assert answer.json["fired_count"] == 2
    assert all(row["subject"].isprintable() and len(row["subject"]) <= 200 for row in sender.get(ALERTS).json["items"])
