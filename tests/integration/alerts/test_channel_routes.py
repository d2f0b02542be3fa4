"""Channels over HTTP: made, changed, tested, rotated and deleted; their secrets are shown once and nowhere else."""

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from tests.support.alertmanager import alert_of_prometheus, notification
from tests.support.receiver import Receiver, receiving
from tests.support.webhook_sender import TOKEN, Sender, sender_for
from tests.support.world import World

PATH = "/api/tds/alert-channels"
MAIL = "mailtos://tds:hunter2hunter2@smtp.example.com?from=tds@example.com&to=ops@example.com"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def sender(world: World, database: str, receiver: Receiver) -> Iterator[Sender]:
    settings = {
        "TDS_OUTBOUND_ALLOW": "127.0.0.1/32", "TDS_OUTBOUND_PORTS": str(urlsplit(receiver.url).port),
        "TDS_OUTBOUND_HTTP": "yes", "TDS_SECRET_KEY": os.environ["TDS_SECRET_KEY"],
    }  # fmt: skip
    with sender_for(database, world.engine, **settings) as sender:
        yield sender


def ask(sender: Sender, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
    all_headers = {"Authorization": f"Bearer {TOKEN}", **headers}
    return sender.app.test_client().open(f"{PATH}{path}", method=method, json=body, headers=all_headers)


def test_a_channel_is_made_with_a_secret_that_is_shown_once(sender: Sender, receiver: Receiver) -> None:
    made = ask(sender, "POST", "", {"name": "desk", "address": f"{receiver.url}/private-path", "after_seconds": 60})
    assert (made.status_code, made.headers["Cache-Control"], made.json["kind"]) == (201, "no-store", "webhook")
    assert (made.json["after_seconds"], made.json["minimum_severity"], made.json["created_by"]) == (
        60, "warning", "token"
    )  # fmt: skip
    receiver.secrets = [made.json["secret"]]
    mail = ask(sender, "POST", "", {"name": "mail", "address": MAIL, "quiet_hours": "22:00-07:00"})
    assert (mail.json["kind"], mail.json["secret"]) == ("email", None)
    listed = sender.get(PATH)
    assert [each["name"] for each in listed.json["items"]] == ["mail", "desk"]
    shown = listed.text + str(sender.rows("select detail::text from tds_operator_actions"))
    for secret in ("private-path", "hunter2", "whsec_"):
        assert secret not in shown
    assert ask(sender, "POST", "/desk/test").json["is_sent"] is True
    assert receiver.got[0].body["type"] == "alert.test"


def test_a_channel_sent_twice_is_made_once_and_its_secret_not_repeated(sender: Sender, receiver: Receiver) -> None:
    body = {"name": "desk", "address": receiver.url}
    assert ask(sender, "POST", "", body, **{"Idempotency-Key": "k"}).status_code == 201
    again = ask(sender, "POST", "", body, **{"Idempotency-Key": "k"})
    assert (again.status_code, again.json["code"]) == (409, "answer_not_kept")
    assert sender.count("tds_alert_channels") == 1
    assert ask(sender, "POST", "", body).status_code == 422


@pytest.mark.parametrize("wrong", [
    {"name": "A B"}, {"name": "17"}, {"name": ""}, {"address": ""}, {"address": "json://example.com/"},
    {"address": "https://10.0.0.1/"}, {"address": "nonsense"}, {"address": "x" * 3000}, {"minimum_severity": "bad"},
    {"after_seconds": -1}, {"after_seconds": 10**9}, {"reminder_seconds": 5}, {"quiet_hours": "25:00-26:00"},
    {"quiet_hours": "all day"}, {"time_zone": "Nowhere/City"}, {"is_enabled": "perhaps"},
])  # fmt: skip
def test_what_makes_no_sense_is_refused_with_the_reason(
    sender: Sender, receiver: Receiver, wrong: dict[str, Any]
) -> None:
    answer = ask(sender, "POST", "", {"name": "desk", "address": receiver.url, **wrong})
    assert (answer.status_code, sender.count("tds_alert_channels")) == (422, 0)
    if "name" not in wrong and wrong.get("address") != "":
        ask(sender, "POST", "", {"name": "desk", "address": receiver.url})
        assert ask(sender, "PUT", "/desk", wrong).status_code == 422


def test_it_is_changed_rotated_tested_and_deleted(sender: Sender, receiver: Receiver) -> None:
    first = ask(sender, "POST", "", {"name": "desk", "address": receiver.url}).json["secret"]
    changed = ask(sender, "PUT", "/desk", {"minimum_severity": "critical", "is_enabled": False, "quiet_hours": None})
    assert (changed.json["minimum_severity"], changed.json["is_enabled"]) == ("critical", False)
    assert "secret" not in changed.json
    moved = ask(sender, "PUT", "/desk", {"address": MAIL})
    assert (moved.status_code, "another channel" in moved.json["detail"]) == (422, True)
    rotated = ask(sender, "POST", "/desk/rotate", {"grace_seconds": 60})
    assert (rotated.headers["Cache-Control"], rotated.json["secret"] != first) == ("no-store", True)
    receiver.secrets = [rotated.json["secret"], first]
    assert ask(sender, "POST", "/desk/test").json["error"] is None
    receiver.answer = lambda body: 500
    failed = ask(sender, "POST", "/desk/test").json
    assert (failed["is_sent"], failed["is_permanent"], "500" in failed["error"]) == (False, False, True)
    ask(sender, "POST", "", {"name": "mail", "address": MAIL})
    assert ask(sender, "POST", "/mail/rotate", {}).status_code == 422
    assert ask(sender, "POST", "/desk/rotate", {"grace_seconds": -1}).status_code == 422
    assert ask(sender, "DELETE", "/desk").json["name"] == "desk"
    assert [each["name"] for each in sender.get(PATH).json["items"]] == ["mail"]
    assert ask(sender, "POST", "", {"name": "desk", "address": receiver.url}).status_code == 201


def test_its_messages_are_listed_and_filtered_also_page_by_page(sender: Sender, receiver: Receiver) -> None:
    ask(sender, "POST", "", {"name": "desk", "address": receiver.url})
    sender.post("/api/tds/alerts/prometheus", notification(*(alert_of_prometheus(f"A{n}") for n in range(3))))
    with sender.engine.begin() as connection:
        connection.execute(
            text("""
            insert into tds_alert_deliveries (alert_id, episode, channel_id, kind, state, message_id, tries)
            select id, 1, (select id from tds_alert_channels), 'firing', case id when 1 then 'failed' else 'sent' end,
                   gen_random_uuid(), '[{"error": "the answer was 500", "seconds": 0.1}]' from tds_alerts""")
        )
    [failed] = sender.get(f"{PATH}/desk/deliveries", state="failed").json["items"]
    assert (failed["subject"], failed["channel"], failed["kind"]) == ("A0", "desk", "firing")
    assert failed["tries"][0]["error"] == "the answer was 500"
    page = sender.get(f"{PATH}/desk/deliveries", limit=2).json
    rest = sender.get(f"{PATH}/desk/deliveries", limit=2, cursor=page["next_cursor"]).json
    assert [each["subject"] for each in page["items"] + rest["items"]] == ["A2", "A1", "A0"]
    story = sender.get(f"/api/tds/alerts/{failed['alert_id']}").json
    assert [each["message_id"] for each in story["deliveries"]] == [failed["message_id"]]
    assert sender.get(f"{PATH}/desk/deliveries", state="lost").status_code == 422


@pytest.mark.parametrize("name", ["nothing", "17", "9" * 30, "%00", "sh%C3%B6p"])
def test_a_channel_that_is_not_there_is_not_found(sender: Sender, name: str) -> None:
    for method, path, body in (
        ("PUT", "", {"is_enabled": True}), ("DELETE", "", None), ("POST", "/test", None), ("POST", "/rotate", {}),
        ("GET", "/deliveries", None),
    ):  # fmt: skip
        assert ask(sender, method, f"/{name}{path}", body).status_code == 404, (method, path)


def test_without_a_key_to_lock_them_with_none_is_made(database: str, world: World, receiver: Receiver) -> None:
    with sender_for(database, world.engine) as sender:
        answer = ask(sender, "POST", "", {"name": "desk", "address": "https://example.com/"})
        assert (answer.status_code, "TDS_SECRET_KEY" in answer.json["detail"]) == (503, True)
