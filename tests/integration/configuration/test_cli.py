"""`tds config`, beside the database and over HTTP: set, unset, history, and what is overridden."""

import json
import threading
from collections.abc import Iterator
from getpass import getuser

import pytest
from werkzeug.serving import make_server

from tds_core.auth import api_keys
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.support.command_line import CommandLine
from tests.support.webhook_sender import sender_for
from tests.support.world import World

KEY = "TDS_GUARD_PERCENT"


@pytest.fixture(params=["here", "there"])
def tds(
    request: pytest.FixtureRequest, world: World, database: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[CommandLine]:  # fmt: skip
    """`tds` beside the database, and one that knows a TDS by its address alone."""
    if request.param == "here":
        yield CommandLine(monkeypatch, capsys)
        return
    with session_scope(world.engine) as session:
        _, key = api_keys.create_key(session, name=getuser(), role=Role.ADMIN, by="test")
    with sender_for(database, world.engine) as sender:
        server = make_server("127.0.0.1", 0, sender.app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, value in {"TDS_DATABASE_URL": "", "TDS_URL": f"http://127.0.0.1:{server.port}",
                            "TDS_API_KEY": key}.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        yield CommandLine(monkeypatch, capsys)
        server.shutdown()
        server.server_close()
        monkeypatch.setenv("TDS_DATABASE_URL", database)


def test_a_setting_is_changed_shown_and_put_back(tds: CommandLine, world: World) -> None:
    changed = tds("config", "set", "guard_percent", "12", "--reason", "new prices")
    assert (changed.exit_code, f"{KEY} is 12, version 1; in force everywhere within 10 s" in changed.out) == (0, True)
    assert world.one("select key, version, value, reason from tds_configuration") == {
        "key": KEY, "version": 1, "value": 12, "reason": "new prices",
    }  # fmt: skip
    back = tds("config", "unset", KEY, "--reason", "done", "--json")
    assert (back.json["value"], back.json["source"], back.json["version"]) == (5, "environment", 2)
    rows = tds("config", "history", "--json").json
    assert [(each["value_before"], each["value"], each["reason"]) for each in rows] == [
        (12, None, "done"), (None, 12, "new prices"),
    ]  # fmt: skip
    shown = tds("config", "history", KEY)
    assert (shown.exit_code, "the environment's" in shown.out, "new prices" in shown.out) == (0, True, True)
    assert tds("config", "history", "TDS_GUARD_RECORDS", "--json").json == []


def test_what_cannot_be_is_refused_with_the_way_out(tds: CommandLine, world: World) -> None:
    for arguments, code, says in (
        (("set", KEY, "101"), 1, "from 0 to 100 (percent)"),
        (("set", "TDS_GUARD_PERCNT", "5"), 1, KEY),
        (("set", "TDS_WORKERS", "5"), 1, "process starts"),
        (("unset", "TDS_WORKERS"), 1, "process starts"),
        (("set", KEY, "5", "--version", "3"), 1, "at version 0 by now"),
        (("history", "nothing-like-it"), 1, "tds config"),
    ):
        refused = tds("config", *arguments)
        assert (refused.exit_code, says in refused.errors) == (code, True), refused
    assert world.value("select count(*) from tds_configuration") == 0


def test_each_change_is_in_the_log_of_actions(tds: CommandLine, world: World) -> None:
    tds("config", "set", KEY, "12", "--reason", "new prices")
    tds("config", "unset", KEY)
    found = {row["operation"] for row in world.rows("select operation from tds_operator_actions")}
    assert found in ({"cli.config.set", "cli.config.unset"}, {"configuration.change"})


def test_the_table_shows_what_is_overridden_by_whom_and_why(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tds = CommandLine(monkeypatch, capsys)
    tds("config", "set", "CIRCUIT_BREAKER_ENABLED", "no", "--reason", "tried out")
    shown = tds("config")
    assert (shown.exit_code, "CIRCUIT_BREAKER_ENABLED was changed from yes to no" in shown.out) == (0, True)
    assert f"by {getuser()}" in shown.out
    assert "tried out" in shown.out
    found = json.loads(tds("config", "--json").out)
    assert found["CIRCUIT_BREAKER_ENABLED"] == {"value": "False", "source": "changed"}
    assert found[KEY]["source"] == "default"


def test_without_a_database_the_environment_is_shown_and_that_the_rest_is_unknown(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database: str
) -> None:
    monkeypatch.setenv("TDS_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    shown = CommandLine(monkeypatch, capsys)("config")
    assert (shown.exit_code, "is not shown" in shown.out, KEY in shown.out) == (0, True, True)
    monkeypatch.setenv("TDS_DATABASE_URL", database)
