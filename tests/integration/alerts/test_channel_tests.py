"""A test of a channel goes the way of real messages where a TDS runs, and is kept with the channel's deliveries."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.fernet import Fernet

from tds_api.cli.alerts import local_channels
from tds_core.alerts import channel_tests
from tds_core.alerts.channels import store
from tds_core.alerts.notifier import Notifier
from tds_core.config.settings import Settings, load_settings
from tds_core.crypto import Vault
from tds_core.observability import heartbeats
from tds_core.subscriptions.ssrf_guard import configured_policy
from tds_models.db import session_scope
from tests.support.command_line import CommandLine
from tests.support.receiver import Receiver, receiving
from tests.support.world import World


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def running(database: str, receiver: Receiver) -> Settings:
    """The settings of the TDS that runs, which may reach the receiver. Those of commands may not."""
    return load_settings({
        "TDS_DATABASE_URL": database, "TDS_SECRET_KEY": os.environ["TDS_SECRET_KEY"], "TDS_OUTBOUND_HTTP": "yes",
        "TDS_OUTBOUND_ALLOW": "127.0.0.1/32", "TDS_OUTBOUND_PORTS": str(urlsplit(receiver.url).port),
    })  # fmt: skip


@pytest.fixture
def desk(world: World, running: Settings, receiver: Receiver) -> int:
    """A channel that leads to the receiver; its id."""
    with session_scope(world.engine) as session:
        number, secret = store.create(
            session, Vault(running.secret_key), configured_policy(running), name="desk", address=receiver.url,
            by="ann", terms={},
        )  # fmt: skip
    receiver.secrets = [secret or ""]
    return number


@pytest.fixture
def tds(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def beat(world: World) -> None:
    """A process evaluates alerts."""
    with session_scope(world.engine) as session:
        heartbeats.beat(session, "alerts")


@contextmanager
def sending(world: World, settings: Settings) -> Iterator[None]:
    """A process sends what is due."""
    beat(world)
    notifier, stop = Notifier(lambda: session_scope(world.engine), settings), threading.Event()

    def look() -> None:
        while not stop.wait(0.05):
            notifier.send_due()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        notifier.close()


def kept(tds: CommandLine) -> list[dict[str, Any]]:
    """What the list of the channel's deliveries shows."""
    rows: list[dict[str, Any]] = tds("alerts", "channels", "deliveries", "desk", "--json").json
    return rows


def test_the_running_tds_sends_it_with_its_own_settings(
    desk: int, tds: CommandLine, world: World, running: Settings, receiver: Receiver
) -> None:
    with sending(world, running):
        said = tds("alerts", "channels", "test", "desk")
    assert (said.exit_code, "sent by the running TDS" in said.out) == (0, True), said.errors
    assert [each.body["type"] for each in receiver.got] == ["alert.test"]
    [delivery] = kept(tds)
    assert (delivery["channel_id"], delivery["alert_id"], delivery["kind"], delivery["state"]) == (
        desk, None, "test", "sent",
    )  # fmt: skip
    assert (delivery["tries"][0]["sent_by"], delivery["sent_at"] is not None) == ("running_tds", True)
    assert "test" in tds("alerts", "channels", "deliveries", "desk").out


def test_what_the_receiver_answers_the_running_tds_is_told_and_kept(
    desk: int, tds: CommandLine, world: World, running: Settings, receiver: Receiver
) -> None:
    receiver.answer = lambda _: 410
    with sending(world, running):
        said = tds("alerts", "channels", "test", "desk")
    assert said.exit_code == 1
    assert "sent by the running TDS: the answer was 410" in said.errors
    assert [(each["state"], each["tries"][0]["is_permanent"]) for each in kept(tds)] == [("failed", True)]


def test_without_a_running_tds_the_command_sends_it_and_says_so(
    desk: int, tds: CommandLine, monkeypatch: pytest.MonkeyPatch, running: Settings, receiver: Receiver
) -> None:
    refused = tds("alerts", "channels", "test", "desk")  # the command may not reach the receiver
    assert refused.exit_code == 1
    assert "sent by this command with its own settings" in refused.errors
    assert ".." not in refused.errors
    for name in ("allow", "ports"):
        monkeypatch.setenv(f"TDS_OUTBOUND_{name.upper()}", getattr(running, f"outbound_{name}"))
    monkeypatch.setenv("TDS_OUTBOUND_HTTP", "yes")
    assert tds("alerts", "channels", "test", "desk", "--json").json["sent_by"] == "command"
    assert [each["state"] for each in kept(tds)] == ["sent", "failed"]
    assert len(receiver.got) == 1


def test_a_tds_that_does_not_take_it_up_is_not_waited_for_and_sends_it_no_more(
    desk: int, tds: CommandLine, world: World, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    monkeypatch.setattr(local_channels, "TAKEN_SECONDS", 0.3)
    beat(world)
    assert "sent by this command" in tds("alerts", "channels", "test", "desk").errors
    assert [each["state"] for each in kept(tds)] == ["failed", "superseded"]
    with session_scope(world.engine) as session:
        assert channel_tests.claim(session, limit=9) == []
    assert receiver.got == []


def test_a_channel_that_cannot_be_opened_says_so_through_the_running_tds(
    desk: int, tds: CommandLine, world: World, running: Settings
) -> None:
    other = load_settings({"TDS_DATABASE_URL": running.database_url, "TDS_SECRET_KEY": Fernet.generate_key().decode()})
    with sending(world, other):
        assert "TDS_SECRET_KEY" in tds("alerts", "channels", "test", "desk").errors


def test_a_test_is_claimed_once_and_by_no_one_when_it_is_old(desk: int, world: World) -> None:
    with session_scope(world.engine) as session:
        old = channel_tests.request(session, desk, by="ann")
    world.execute("update tds_alert_deliveries set created_at = now() - interval '2 minutes'")
    with session_scope(world.engine) as session:
        new = channel_tests.request(session, desk, by="ann")
        assert channel_tests.claim(session, limit=9, busy=[desk]) == []
        [claimed] = channel_tests.claim(session, limit=9)
        assert (claimed.id, claimed.channel_id) == (new, desk)
        assert channel_tests.claim(session, limit=9) == []
        assert not channel_tests.withdraw(session, new)
    assert world.value("select state from tds_alert_deliveries where id = :id", id=old) == "superseded"
