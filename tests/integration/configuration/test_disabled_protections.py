"""While auto-healing or circuit breakers are off, everybody who looks is told, with since when and by whom."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tds_core.config.settings import load_settings
from tds_core.configuration.disabled_protections import SWITCHES, switched_off
from tests.support.command_line import CommandLine
from tests.support.configuring import configure
from tests.support.installation import installation
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World

ANYBODY = "/api/tds/health"


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


def test_nothing_is_off_at_first(sender: Sender) -> None:
    assert switched_off(load_settings({})) == []
    assert sender.get(ANYBODY).json["switched_off"] == []
    [component] = [
        each for each in sender.get("/api/tds/health/complete").json["components"] if each["name"] == "protections"
    ]
    assert component["state"] == "ok"


def test_a_switch_of_the_environment_has_neither_date_nor_person() -> None:
    [found] = switched_off(load_settings({"CIRCUIT_BREAKER_ENABLED": "no"}))
    assert (found.key, found.since_at, found.by) == ("CIRCUIT_BREAKER_ENABLED", None, None)
    assert "off by the environment" in found.says


def test_health_and_dashboard_say_what_is_off_and_since_when_and_by_whom_to_those_who_may_know(sender: Sender) -> None:
    configure(sender.engine, auto_healing_enabled="no", circuit_breaker_enabled=False)
    for path in ("/api/tds/health/complete", "/api/tds/monitoring/health"):
        found = sender.get(path).json
        assert [each["key"] for each in found["switched_off"]] == list(SWITCHES)
        assert {each["by"] for each in found["switched_off"]} == {"somebody"}
        assert all(each["since_at"] and "off since" in each["says"] for each in found["switched_off"])
        assert found["status"] != "ok"
        [component] = [each for each in found["components"] if each["name"] == "protections"]
        assert (component["state"], "tds config set AUTO_HEALING_ENABLED yes" in component["mend"]) == ("warning", True)
    assert len(sender.get("/api/tds/dashboard").json["health"]["switched_off"]) == 2
    short = sender.app.test_client().get(ANYBODY).json
    assert "protections" in short["unwell"]
    assert [set(each) for each in short["switched_off"]] == [{"key", "name", "since_at"}] * 2


def test_health_says_so_also_without_the_database(database: str, engine: Engine) -> None:
    configure(engine, auto_healing_enabled="no")
    with sender_for("postgresql://nobody@127.0.0.1:1/nothing", engine) as sender:
        answer = sender.app.test_client().get(ANYBODY)
    assert (answer.status_code, [each["key"] for each in answer.json["switched_off"]]) == (
        503,
        ["AUTO_HEALING_ENABLED"],
    )


def test_the_command_begins_with_a_banner(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(world.engine, circuit_breaker_enabled="no")
    tds = CommandLine(monkeypatch, capsys)
    first = tds("health").out.splitlines()[0]
    assert "CIRCUIT BREAKERS OFF SINCE" in first
    assert "BY SOMEBODY" in first
    [found] = tds("health", "--json").json["switched_off"]
    assert (found["key"], found["reason"]) == ("CIRCUIT_BREAKER_ENABLED", "tried out")


def test_an_alert_fires_for_each_that_is_off(engine: Engine, database: str, redis_url: str, tmp_path: str) -> None:
    looked = installation(engine, str(tmp_path), redis_url, TDS_DATABASE_URL=database)
    looked.start()
    assert looked.met("protection_off") == {}
    configure(engine, auto_healing_enabled="no", circuit_breaker_enabled="no")
    met = looked.met("protection_off")
    assert set(met) == {"auto-healing", "circuit breakers"}
    assert "by somebody: nothing is healed unless a person asks for it" in met["auto-healing"].says
