"""`tds alerts`, beside the database and over HTTP: every command, what it says next, and how it ends."""

import os
import threading
from collections.abc import Iterator
from getpass import getuser
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from standardwebhooks import Webhook
from werkzeug.serving import make_server

from tds_core.alerts.alertmanager import read_notification
from tds_core.alerts.external_alerts import take
from tds_core.alerts.rules import RULES
from tds_core.auth import api_keys
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.support.alertmanager import alert_of_prometheus, notification
from tests.support.command_line import CommandLine
from tests.support.receiver import Receiver, receiving
from tests.support.webhook_sender import sender_for
from tests.support.world import World


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def outbound(world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Settings by which a receiver on this machine may be reached."""
    settings = {
        "TDS_OUTBOUND_ALLOW": "127.0.0.1/32", "TDS_OUTBOUND_PORTS": str(urlsplit(receiver.url).port),
        "TDS_OUTBOUND_HTTP": "yes", "TDS_SECRET_KEY": os.environ["TDS_SECRET_KEY"],
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return settings


@pytest.fixture(params=["here", "there"])
def tds(  # noqa: PLR0917 (fixtures)
    request: pytest.FixtureRequest, world: World, database: str, outbound: dict[str, str],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> Iterator[CommandLine]:  # fmt: skip
    """`tds` beside the database, and one that knows a TDS by its address alone."""
    if request.param == "here":
        yield CommandLine(monkeypatch, capsys)
        return
    with session_scope(world.engine) as session:
        _, key = api_keys.create_key(session, name="test", role=Role.ADMIN, by="test")
    with sender_for(database, world.engine, **outbound) as sender:
        server = make_server("127.0.0.1", 0, sender.app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, value in {"TDS_DATABASE_URL": "", "TDS_URL": f"http://127.0.0.1:{server.port}",
                            "TDS_API_KEY": key}.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        yield CommandLine(monkeypatch, capsys)
        server.shutdown()
        server.server_close()
        monkeypatch.setenv("TDS_DATABASE_URL", database)  # the world that ends next asks for it


def fire(world: World, name: str = "Full", **labels: str) -> str:
    """An alert that fires; its number."""
    with session_scope(world.engine) as session:
        take(session, read_notification(notification(alert_of_prometheus(name, **labels))), RULES)
    return str(world.value("select max(id) from tds_alerts"))


def operations(world: World) -> set[str]:
    return {row["operation"] for row in world.rows("select operation from tds_operator_actions")}


def test_nothing_fires_and_it_says_so(tds: CommandLine) -> None:
    said = tds("alerts", "list")
    assert (said.exit_code, "none" in said.out, said.errors) == (0, True, "")


def test_an_alert_is_listed_shown_taken_given_back_and_resolved(tds: CommandLine, world: World) -> None:
    number = fire(world, severity="critical", disk="sda\x1b[2J")
    listed = tds("alerts", "list")
    assert listed.exit_code == 0
    assert all(word in listed.out for word in ("critical", "firing", "external", "Full disk=sda", "Full fires"))
    assert "\x1b[2J" not in listed.out
    assert f"tds alerts show {number}" in listed.errors
    shown = tds("alerts", "show", number)
    assert all(word in shown.out for word in ("CRITICAL", "usually:", "TDS by itself:", "to do:", "firing"))
    as_json = tds("alerts", "ack", number, "--for", "30m", "--note", "the disk is ordered", "--json")
    assert as_json.json["state"] == "acknowledged"  # and no line of the log beside it
    taken = tds("alerts", "ack", number, "--for", "30m", "--note", "the disk is ordered")
    assert (taken.exit_code, f"tds alerts unack {number}" in taken.out) == (0, True)
    assert "the disk is ordered" in tds("alerts", "show", number).out
    assert tds("alerts", "list", "--state", "acknowledged", "--json").json[0]["note"] == "the disk is ordered"
    assert "firing again" in tds("alerts", "unack", number).out
    resolved = tds("alerts", "resolve", number, "--note", "grown")
    assert (resolved.exit_code, f"tds alerts silence {number}" in resolved.out) == (0, True)
    assert tds("alerts", "list", "--json").json == []
    assert tds("alerts", "list", "--all", "--rule", "external", "--severity", "critical", "--json").json != []
    history = tds("alerts", "history", "--json").json
    assert [each["to_state"] for each in history] == ["resolved", "firing", "acknowledged", "acknowledged", "firing"]
    assert "grown" in tds("alerts", "history", "--rule", "external").out
    again = tds("alerts", "ack", number)
    assert (again.exit_code, f"tds alerts show {number}" in again.errors) == (1, True)


def test_what_is_wrong_ends_with_two_and_says_what_to_write(tds: CommandLine, world: World) -> None:
    number = fire(world)
    for arguments, mend in {
        ("ack", number, "--for", "long"): "15min",
        ("silence", "--reason", "x", "--for", "1h"): "--everything",
        ("silence", number, "--everything", "--reason", "x", "--for", "1h"): "--everything",
        ("silence", number, "--reason", "x"): "--for 2h",
        ("silence", number, "--reason", "x", "--for", "1h", "--until", "2099-01-01"): "--for 2h",
        ("silences", "extend", "1"): "--for 2h",
        ("rules", "set", "backlog"): "--threshold",
        ("channels", "change", "desk"): "--off",
    }.items():
        said = tds("alerts", *arguments)
        assert (said.exit_code, mend in said.errors) == (2, True), (arguments, said.errors)
    for arguments, where in {
        ("show", "99"): "tds alerts list", ("ack", "99"): "tds alerts list", ("resolve", "99"): "tds alerts list",
        ("silence", "99", "--for", "1h", "--reason", "x"): "tds alerts list",
        ("silences", "end", "99"): "tds alerts silences", ("rules", "show", "nothing"): "tds alerts rules",
        ("channels", "test", "nothing"): "tds alerts channels", ("channels", "remove", "x"): "tds alerts channels",
    }.items():  # fmt: skip
        said = tds("alerts", *arguments)
        assert (said.exit_code, where in said.errors) == (1, True), (arguments, said.errors)


def test_silences_are_previewed_made_shown_extended_and_ended(tds: CommandLine, world: World) -> None:
    number = fire(world, disk="[sda]")
    for chosen in ((number,), ("--rule", "ext*"), ("--subject", "Full*"), ("--severity", "warning"), ("--everything",)):
        said = tds("alerts", "silence", *chosen, "--for", "2h", "--reason", "x", "--dry-run")
        assert (said.exit_code, "It mutes 1 active alert now" in said.out) == (0, True), chosen
    warned = tds("alerts", "silence", "--rule", "nothing", "--for", "2h", "--reason", "x", "--dry-run")
    assert "tds alerts rules" in warned.out
    assert world.value("select count(*) from tds_alert_silences") == 0
    made = tds("alerts", "silence", number, "--for", "2h", "--reason", "known", "--with-alert")
    assert (made.exit_code, "tds alerts silences end 1" in made.out, "Full disk=[sda]" in made.out) == (0, True, True)
    window = tds("alerts", "silence", "--everything", "--cron", "0 2 * * 0 Asia/Baghdad", "--duration", "2h",
                 "--reason", "backup")  # fmt: skip
    assert (window.exit_code, "Silence 2 is" in window.out) == (0, True)
    until = tds("alerts", "silence", "--rule", "backlog", "--until", "2099-01-01", "--reason", "x")
    assert (until.exit_code, "year" in until.errors) == (1, True)
    shown = tds("alerts", "silences").out
    assert all(word in shown for word in ("known", "backup", "0 2 * * 0 Asia/Baghdad for 2 h", "active"))
    assert "goes on until" in tds("alerts", "silences", "extend", "1", "--for", "3d").out
    assert "tds alerts list" in tds("alerts", "silences", "end", "1").out
    assert [each["id"] for each in tds("alerts", "silences", "--json").json] in ([2], ["2"])
    assert len(tds("alerts", "silences", "--all", "--json").json) == 2


def test_rules_are_shown_changed_tried_and_reset(tds: CommandLine, world: World) -> None:
    assert len(tds("alerts", "rules", "--json").json) == len(RULES)
    assert "above 1,000 items" in tds("alerts", "rules").out
    changed = tds("alerts", "rules", "set", "backlog", "--threshold", "50", "--for", "5min", "--severity", "error",
                  "--keep", "0s", "--reason", "small shop")  # fmt: skip
    assert (changed.exit_code, "tds alerts rules show backlog" in changed.out) == (0, True)
    terms = tds("alerts", "rules", "show", "backlog", "--json").json["terms"]
    assert (terms["threshold"], terms["for_seconds"], terms["severity"], terms["keep_seconds"]) == (50, 300, "error", 0)
    shown = tds("alerts", "rules", "show", "backlog").out
    assert all(word in shown for word in ("small shop", "usually:", "above 50 items"))
    assert tds("alerts", "rules", "disable", "backlog").exit_code == 0
    assert "off" in tds("alerts", "rules").out
    assert tds("alerts", "rules", "enable", "backlog", "--json").json["terms"]["is_enabled"] is True
    world.execute(
        "insert into tds_metrics (name, subject, at, value) values ('backlog', '', now() - interval '2h', 70)"
    )
    tried = tds("alerts", "rules", "dry-run", "backlog", "--threshold", "60", "--for", "0s", "--days", "1")
    assert (tried.exit_code, "would have fired once" in tried.out) == (0, True)
    assert tds("alerts", "rules", "dry-run", "backlog", "--threshold", "80", "--json").json["firing_count"] == 0
    assert tds("alerts", "rules", "reset", "backlog", "--json").json["terms"]["changed_by"] == "tds"


def test_rules_are_printed_for_documents_and_for_prometheus(tds: CommandLine) -> None:
    table = tds("alerts", "rules", "--markdown").out
    assert all(f"`{rule.name}`" in table for rule in RULES)
    groups = yaml.safe_load(tds("alerts", "rules", "--prometheus").out)["groups"]
    assert any(rule.get("alert") == "TdsSlowOperations" for group in groups for rule in group["rules"])


def test_a_webhook_is_made_tested_changed_rotated_and_removed(
    tds: CommandLine, world: World, receiver: Receiver
) -> None:
    empty = tds("alerts", "channels")
    assert "tds alerts channels add" in empty.errors
    made = tds("alerts", "channels", "add", "desk", f"{receiver.url}/private-path", "--severity", "error", "--after",
               "15min", "--remind", "0s", "--quiet", "22:00-07:00", "--zone", "Asia/Baghdad")  # fmt: skip
    secret = made.out.strip()
    assert (made.exit_code, "tds alerts channels test desk" in made.errors) == (0, True)
    Webhook(secret)  # a secret the library understands
    receiver.secrets = [secret]
    taken = tds("alerts", "channels", "test", "desk")
    assert (taken.exit_code, "took the message" in taken.out, len(receiver.got)) == (0, True, 1)
    assert receiver.got[0].verified == [secret]
    shown = tds("alerts", "channels", "list")
    assert all(word in shown.out for word in ("desk", "webhook", "error", "15 min", "22:00-07:00 Asia/Baghdad"))
    assert "private-path" not in shown.out
    assert tds("alerts", "channels", "change", "desk", "--quiet", "none", "--severity", "critical").exit_code == 0
    [channel] = tds("alerts", "channels", "--json").json
    assert (channel["quiet_hours"], channel["minimum_severity"], channel["after_seconds"]) == (None, "critical", 900)
    new = tds("alerts", "channels", "rotate", "desk", "--grace-hours", "1", "--json").json["secret"]
    receiver.secrets = [new, secret]
    assert tds("alerts", "channels", "test", "desk", "--json").json["is_sent"] is True
    assert tds("alerts", "channels", "change", "desk", "--off").exit_code == 0
    assert tds("alerts", "channels", "list", "--json").json[0]["is_enabled"] is False
    kept = tds("alerts", "channels", "deliveries", "desk", "--json").json
    assert [(each["kind"], each["state"], each["alert_id"]) for each in kept] == [("test", "sent", None)] * 2
    assert tds("alerts", "channels", "remove", "desk").exit_code == 0
    assert tds("alerts", "channels", "list", "--json").json == []
    logged = world.rows("select detail::text as detail from tds_operator_actions")
    assert all("private-path" not in row["detail"] and "whsec_" not in row["detail"] for row in logged)


def test_a_test_that_is_not_taken_ends_with_one_and_the_channels_error(tds: CommandLine, receiver: Receiver) -> None:
    receiver.answer = lambda body: 403
    tds("alerts", "channels", "add", "desk", receiver.url)
    refused = tds("alerts", "channels", "test", "desk")
    assert refused.exit_code == 1
    assert "403" in refused.errors
    assert "tds alerts channels change desk" in refused.errors
    assert tds("alerts", "channels", "test", "desk", "--json").json["is_sent"] is False


@pytest.mark.parametrize(("address", "mend"), [
    ("json://127.0.0.1/", "mailtos://"), ("https://192.168.1.5/", "TDS_OUTBOUND"), ("nonsense", "mailtos://"),
    ("mailtos://smtp.example.com?from=a@b.example", "to="),
])  # fmt: skip
def test_an_address_that_cannot_be_used_is_refused_with_what_to_write(
    tds: CommandLine, world: World, address: str, mend: str
) -> None:
    said = tds("alerts", "channels", "add", "desk", address)
    assert (said.exit_code, mend in said.errors) == (1, True), said.errors
    assert world.value("select count(*) from tds_alert_channels") == 0


def test_an_address_is_read_from_standard_input(
    tds: CommandLine, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Input:
        def readline(self) -> str:
            return f"{receiver.url}\n"

    monkeypatch.setattr("tds_api.cli.alerts.channels.sys.stdin", Input())
    assert tds("alerts", "channels", "add", "desk", "-").exit_code == 0
    assert tds("alerts", "channels", "test", "desk").exit_code == 0


def test_what_a_command_did_is_recorded_as_who_did_it(tds: CommandLine, world: World) -> None:
    number = fire(world)
    tds("alerts", "ack", number)
    tds("alerts", "silence", number, "--for", "1h", "--reason", "x")
    by: Any = world.value("select acknowledged_by from tds_alerts")
    known = {"cli.alerts.acknowledge", "cli.alerts.silence"} if by == getuser() else {
        "alerts.acknowledge", "alerts.silence"}  # fmt: skip
    assert operations(world) >= known
