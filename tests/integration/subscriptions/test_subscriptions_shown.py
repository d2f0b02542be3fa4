"""Subscriptions over HTTP and by command: made, shown without secrets, stopped, rotated, replayed, tried, deleted."""

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.fernet import Fernet
from standardwebhooks import Webhook

from tests.support.change_events import Telling, telling
from tests.support.command_line import CommandLine
from tests.support.receiver import Receiver, receiving
from tests.support.webhook_sender import TOKEN, Sender, sender_for
from tests.support.world import World

PATH = "/api/tds/subscriptions"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def shop(world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Telling]:
    with telling(world, receiver, monkeypatch) as told:
        yield told


@pytest.fixture
def sender(shop: Telling, database: str) -> Iterator[Sender]:
    settings = {
        "TDS_OUTBOUND_ALLOW": "127.0.0.1/32", "TDS_OUTBOUND_PORTS": str(urlsplit(shop.receiver.url).port),
        "TDS_OUTBOUND_HTTP": "yes", "TDS_SECRET_KEY": os.environ["TDS_SECRET_KEY"],
    }  # fmt: skip
    with sender_for(database, shop.world.engine, **settings) as sender:
        yield sender


@pytest.fixture
def tds(shop: Telling, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def made(sender: Sender, url: str, **more: Any) -> Any:
    return sender.post(PATH, {"name": "shop", "url": url, **more})


def test_a_subscription_is_made_with_a_secret_that_is_shown_once(sender: Sender, shop: Telling) -> None:
    answer = made(sender, shop.receiver.url, entities=["product"], kinds=["updated"], fields=["price"])
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    shop.receiver.secrets = [answer.json["secret"]]
    assert answer.json["secret"].startswith("whsec_")
    shown = sender.get(f"{PATH}/shop")
    assert "whsec_" not in shown.text + sender.get(PATH).text
    assert (shown.json["fields"], shown.json["state"], shown.json["created_by"]) == (["price"], "active", "token")
    shop.write(("p", 2))
    assert sender.get(PATH).json["items"][0]["behind_count"] == 1
    shop.deliver()
    [delivery] = sender.get(f"{PATH}/shop/deliveries").json["items"]
    assert (delivery["state"], delivery["status"], delivery["version"]) == ("delivered", 200, 2)
    assert sender.get(f"{PATH}/shop/deliveries", state="given_up").json["items"] == []
    logged = sender.rows("select detail::text from tds_operator_actions")
    assert all("whsec_" not in row[0] for row in logged)


@pytest.mark.parametrize("wrong", [
    {"url": "http://10.0.0.1/"}, {"url": "https://user@shop.example/"}, {"url": "nowhere"}, {"entities": ["nothing"]},
    {"kinds": ["exploded"]}, {"fields": ["no_such_field"]}, {"name": "17"}, {"name": "A B"},
])  # fmt: skip
def test_what_makes_no_sense_is_refused_with_the_reason(sender: Sender, shop: Telling, wrong: dict[str, Any]) -> None:
    answer = made(sender, **{"url": shop.receiver.url, **wrong}) if "name" not in wrong else sender.post(
        PATH, {"url": shop.receiver.url, **wrong})  # fmt: skip
    assert (answer.status_code, sender.count("tds_subscriptions")) == (422, 0)


def test_a_name_is_taken_once(sender: Sender, shop: Telling) -> None:
    assert [made(sender, shop.receiver.url).status_code for _ in range(2)] == [201, 422]


def test_it_is_paused_resumed_rotated_replayed_tried_and_deleted(sender: Sender, shop: Telling) -> None:
    secret = made(sender, shop.receiver.url).json["secret"]
    shop.receiver.secrets = [secret]
    assert sender.post(f"{PATH}/shop/pause", {}).json["state"] == "paused"
    assert sender.post(f"{PATH}/shop/resume", {}).json["state"] == "active"
    rotated = sender.post(f"{PATH}/shop/rotate", {"grace_seconds": 60})
    shop.receiver.secrets.append(rotated.json["secret"])
    assert (rotated.headers["Cache-Control"], rotated.json["secret"] != secret) == ("no-store", True)
    tried = sender.post(f"{PATH}/shop/test", {}).json
    assert (tried["status"], shop.receiver.got[0].body["type"]) == (200, "subscription.test")
    assert shop.receiver.got[0].verified == shop.receiver.secrets
    shop.write(("p", 1))
    shop.deliver()
    asked = {"entity": "product", "source_id": "p", "version": 1}
    for replay in ({"since": "2020-01-01T00:00:00Z"}, asked, {"given_up": True}):
        assert sender.post(f"{PATH}/shop/replay", replay).status_code == 202
        shop.deliver()
    assert [each.record for each in shop.receiver.got[1:]] == ["p", "p", "p"]
    for wrong in ({}, {"entity": "product"}, {"since": "2020-01-01T00:00:00Z", "given_up": True}):
        assert sender.post(f"{PATH}/shop/replay", wrong).status_code == 422
    assert sender.post(f"{PATH}/shop/replay", {**asked, "version": 9}).status_code == 404
    deleted = sender.app.test_client().delete(f"{PATH}/shop", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (deleted.status_code, sender.count("tds_event_deliveries")) == (200, 0)
    for path in ("shop", "17", "%00", "sh%C3%B6p", "9" * 30):
        assert sender.get(f"{PATH}/{path}").status_code == 404


def test_commands_do_the_same(tds: CommandLine, shop: Telling) -> None:
    said = tds("subscriptions", "create", "shop", shop.receiver.url, "--entity", "product", "--json")
    shop.receiver.secrets = [said.json["secret"]]
    assert tds("subscriptions", "test", "shop").exit_code == 0
    shop.write(("p", 1))
    shop.deliver()
    assert tds("subscriptions", "deliveries", "shop", "--json").json[0]["state"] == "delivered"
    assert "delivered" in tds("subscriptions", "deliveries", "shop").out
    assert tds("subscriptions", "replay", "shop", "--since", "1h").exit_code == 0
    assert tds("subscriptions", "replay", "shop", "--entity", "product", "--id", "p").exit_code == 0
    assert tds("subscriptions", "replay", "shop").exit_code == 2
    assert tds("subscriptions", "pause", "shop").exit_code == 0
    assert "paused" in tds("subscriptions", "list").out
    assert tds("subscriptions", "resume", "1").exit_code == 0
    new = tds("subscriptions", "rotate", "shop", "--json").json["secret"]
    Webhook(new)  # a secret the library understands
    shop.receiver.answer = lambda body: 500
    refused = tds("subscriptions", "test", "shop")
    assert (refused.exit_code, "500" in refused.errors) == (1, True)
    assert tds("subscriptions", "delete", "shop").exit_code == 0
    missing = tds("subscriptions", "pause", "shop")
    assert (missing.exit_code, "tds subscriptions list" in missing.errors) == (1, True)


def test_an_inner_address_is_refused_with_the_setting_that_allows_it(tds: CommandLine) -> None:
    said = tds("subscriptions", "create", "inner", "https://192.168.1.5/")
    assert said.exit_code == 1
    assert "TDS_OUTBOUND" in said.errors


def test_secrets_outlive_the_key_they_are_locked_with(
    tds: CommandLine, shop: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = os.environ["TDS_SECRET_KEY"]
    shop.subscribe()
    monkeypatch.setenv("TDS_SECRET_KEY", Fernet.generate_key().decode())
    monkeypatch.setenv("TDS_SECRET_KEY_PREVIOUS", old)
    assert "1 subscriptions' secrets" in tds("zoho", "rotate-key").out
    monkeypatch.delenv("TDS_SECRET_KEY_PREVIOUS")
    assert tds("subscriptions", "test", "shop").exit_code == 0
