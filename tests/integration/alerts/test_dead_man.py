"""The dead man's switch promises: called while there is progress, silent when there is none, and told why once."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from sqlalchemy import create_engine

from tds_core.alerts import dead_man
from tds_core.alerts import facts as alert_facts
from tds_core.alerts.dead_man import DeadManSwitch, Progress, why_not
from tds_core.alerts.facts import AlertFacts
from tds_core.breakers.registry import open_breakers
from tds_core.config.settings import Settings, load_settings
from tds_core.health.dead_man_switch import heartbeat_facts, heartbeat_health
from tds_core.health.infrastructure import evaluate, infrastructure_health
from tds_models.db import session_scope
from tests.support.alert_receivers import Answer, HttpReceiver, http_receiving
from tests.support.world import World

WELL = {"has_database": True, "unevaluated_seconds": 15.0}


@pytest.mark.parametrize(("changed", "says"), [
    ({}, ""),
    ({"standstill_seconds": 120.0}, ""),
    ({"standstill_seconds": 600.0}, "work has been due for 10 min"),
    ({"unevaluated_seconds": 600.0}, "alerts have not been evaluated for 10 min"),
    ({"unevaluated_seconds": None}, "alerts have not been evaluated yet"),
    ({"overdue_slots": {"heal": 310.0, "sync": 900.0}}, "no process takes the slots"),
    ({"has_database": False, "standstill_seconds": 600.0}, "PostgreSQL cannot be reached"),
])  # fmt: skip
def test_progress_is_more_than_a_living_process(changed: dict[str, Any], says: str) -> None:
    reason = why_not(Progress(**{**WELL, **changed}))
    assert reason.startswith(says)
    assert bool(reason) == bool(says)


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    """Who watches outside a process that has run for an hour, and a minute that takes half a second."""
    for name, value in {"EVERY_SECONDS": 0.5, "LOOK_TOLERANCE_SECONDS": 0.0, "PATIENCE_SECONDS": 0.3}.items():
        monkeypatch.setattr(dead_man, name, value)
    monkeypatch.setattr(alert_facts, "_BEGAN", time.monotonic() - 3600)  # this process has seen it all
    with http_receiving() as receiver:
        yield receiver


def settings(watcher: HttpReceiver, world: World, *, with_fail: bool = True) -> Settings:
    here = f"http://127.0.0.1:{watcher.port}"
    urls = {"TDS_HEARTBEAT_URL": f"{here}/ping/SECRET"}
    urls |= {"TDS_HEARTBEAT_FAIL_URL": f"{here}/ping/SECRET/fail"} if with_fail else {}
    url = world.engine.url.render_as_string(hide_password=False)
    return load_settings({"TDS_DATABASE_URL": url, "TDS_INSTALLATION": "acme", **urls})


def facts(world: World, given: Settings) -> AlertFacts:
    return AlertFacts(lambda: session_scope(world.engine), given, open_breakers(given))


def looked(switch: DeadManSwitch, *args: Any) -> None:
    switch.look(*args)
    switch.join()


def paths(watcher: HttpReceiver) -> list[tuple[str, str]]:
    return [(each.method, each.path.removeprefix("/ping/SECRET")) for each in watcher.got]


def test_it_is_called_once_a_minute_while_there_is_progress(world: World, watcher: HttpReceiver) -> None:
    given = settings(watcher, world)
    switch = DeadManSwitch(given)
    for _ in range(4):
        looked(switch, facts(world, given), time.monotonic())
    assert paths(watcher) == [("GET", "")]
    time.sleep(0.55)
    looked(switch, facts(world, given), time.monotonic())
    assert paths(watcher) == [("GET", "")] * 2


def test_work_that_is_due_in_vain_ends_the_calls_and_is_told_once(world: World, watcher: HttpReceiver) -> None:
    given = settings(watcher, world)
    switch = DeadManSwitch(given)
    looked(switch, facts(world, given), time.monotonic())
    world.enqueue("product", "460000000000001")
    world.execute("update tds_sync_queue set next_attempt_at = now() - interval '10 minutes'")
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            looked(switch, facts(world, given), time.monotonic())
            time.sleep(0.3)
    assert paths(watcher) == [("GET", ""), ("POST", "/fail")]
    assert watcher.got[1].raw.decode() == (
        "TDS acme makes no progress: work has been due for 10 min, and none was done since"
    )
    assert [each["event"] for each in logs] == ["progress_stopped"]
    with session_scope(world.engine) as session:
        told = heartbeat_health(heartbeat_facts(session))
        assert told in evaluate(infrastructure_health(session, given), given, open_breakers(given))
    assert (told.state, "work has been due" in told.says) == ("warning", True)
    world.execute("delete from tds_sync_queue")
    looked(switch, facts(world, given), time.monotonic())
    assert paths(watcher)[2:] == [("GET", "")]


def test_a_database_that_is_away_is_told_after_a_while(world: World, watcher: HttpReceiver) -> None:
    given = settings(watcher, world)
    switch = DeadManSwitch(given)
    gone = create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/nothing")
    nowhere = AlertFacts(lambda: session_scope(gone), given, open_breakers(given))
    looked(switch, None, time.monotonic())
    looked(switch, nowhere, time.monotonic())
    assert watcher.got == []
    time.sleep(0.35)
    for given_facts in (nowhere, None, nowhere):
        looked(switch, given_facts, time.monotonic())
    [got] = watcher.got
    assert (got.method, got.raw.decode()) == ("POST", "TDS acme makes no progress: PostgreSQL cannot be reached")


def test_an_evaluation_that_hangs_ends_the_calls(world: World, watcher: HttpReceiver) -> None:
    given = settings(watcher, world, with_fail=False)
    switch = DeadManSwitch(given)
    time.sleep(0.35)
    looked(switch, facts(world, given), time.monotonic() - 300)
    looked(switch, facts(world, given), None)
    assert watcher.got == []


@pytest.mark.parametrize("answer", [Answer(status=500), Answer(breaks=True), Answer(status=302)])
def test_who_does_not_take_the_reason_is_told_again(world: World, watcher: HttpReceiver, answer: Answer) -> None:
    given = settings(watcher, world)
    switch = DeadManSwitch(given)
    time.sleep(0.35)
    watcher.answer = lambda _: answer if len(watcher.got) == 1 else Answer()
    for _ in range(6):
        looked(switch, None, time.monotonic())
        time.sleep(0.2)
    assert paths(watcher) == [("POST", "/fail")] * 2


def test_health_says_that_the_address_does_not_answer_and_not_which_it_is(world: World, watcher: HttpReceiver) -> None:
    given = settings(watcher, world)
    switch = DeadManSwitch(given)
    watcher.answer = lambda _: Answer(status=404)
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            looked(switch, facts(world, given), time.monotonic())
    with session_scope(world.engine) as session:
        told = heartbeat_health(heartbeat_facts(session))
    assert (told.state, "404" in told.says) == ("warning", True)
    assert "SECRET" not in f"{told} {logs}"


def test_a_slow_watcher_holds_nothing_up(world: World, watcher: HttpReceiver) -> None:
    given = settings(watcher, world)
    switch = DeadManSwitch(given)
    watcher.answer = lambda _: Answer(wait=3)
    began = time.monotonic()
    for _ in range(5):
        switch.look(facts(world, given), time.monotonic())
        time.sleep(0.2)
    assert time.monotonic() - began < 2.5
    assert len(watcher.got) == 1
    switch.join()


def test_without_an_address_nothing_is_called_and_health_does_not_mention_it(world: World) -> None:
    given = load_settings({"TDS_DATABASE_URL": world.engine.url.render_as_string(hide_password=False)})
    switch = DeadManSwitch(given)
    looked(switch, facts(world, given), time.monotonic())
    with session_scope(world.engine) as session:
        assert heartbeat_facts(session) is None
        seen = infrastructure_health(session, given)
    assert "heartbeat" not in [each.name for each in evaluate(seen, given, open_breakers(given))]


def test_health_before_the_first_call_and_long_after_the_last() -> None:
    never = heartbeat_health(None)
    old = heartbeat_health({"ago_seconds": 400.0, "error": "", "reason": ""})
    well = heartbeat_health({"ago_seconds": 30.0, "error": "", "reason": ""})
    assert [each.state for each in (never, old, well)] == ["warning", "warning", "ok"]
