"""A process takes up what was changed within seconds, and keeps the last known values while the database is away."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from structlog.testing import capture_logs

from tds_core.config.overrides import overrides
from tds_core.config.settings import load_settings
from tds_core.configuration import refresh as refreshing
from tds_core.configuration.refresh import REFRESH_SECONDS, follow_configuration, refresh
from tds_core.configuration.versions import change
from tds_models.db import make_engine, session_scope

KEY = "TDS_GUARD_PERCENT"


def put(engine: Engine, value: Any, key: str = KEY) -> None:
    with session_scope(engine) as session:
        change(session, key, value, by="amal")


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)
    return holds()


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    monkeypatch.setattr(refreshing, "REFRESH_SECONDS", 0.05)
    stop = threading.Event()
    yield stop
    stop.set()


def test_a_follower_knows_what_is_in_force_when_it_starts_and_what_is_changed_later(
    engine: Engine, stop: threading.Event
) -> None:
    settings = load_settings({"TDS_GUARD_PERCENT": "7"})
    put(engine, 10)
    thread = follow_configuration(partial(session_scope, engine), stop)
    assert settings.guard_percent == 10
    put(engine, 20)
    assert wait_until(lambda: settings.guard_percent == 20)
    put(engine, None)
    assert wait_until(lambda: settings.guard_percent == 7)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_values_are_at_most_five_seconds_old() -> None:
    assert REFRESH_SECONDS < 5


def test_without_the_database_the_last_known_values_stay_and_new_ones_come_when_it_is_back(
    engine: Engine, stop: threading.Event
) -> None:
    put(engine, 10)
    away = make_engine("postgresql://nobody@127.0.0.1:1/nothing")
    engines = [engine]
    thread = follow_configuration(lambda: session_scope(engines[0]), stop)
    settings = load_settings({})
    engines[0] = away
    put(engine, 20)
    time.sleep(0.4)
    assert (settings.guard_percent, thread.is_alive()) == (10, True)
    engines[0] = engine
    assert wait_until(lambda: settings.guard_percent == 20)


def test_a_process_that_starts_without_the_database_has_the_environment_s_values(stop: threading.Event) -> None:
    away = make_engine("postgresql://nobody@127.0.0.1:1/nothing")
    thread = follow_configuration(partial(session_scope, away), stop)
    assert (load_settings({}).guard_percent, thread.is_alive()) == (5, True)


def test_it_logs_each_change_once_and_what_it_cannot_use(engine: Engine) -> None:
    put(engine, 10)
    with session_scope(engine) as session:
        session.execute(
            text("insert into tds_configuration (key, version, value, changed_by) values ('X', 1, '1', 'x')")
        )
    follower = refreshing._Follower(partial(session_scope, engine), threading.Event())
    with capture_logs() as lines:
        follower.look()
        follower.look()
        put(engine, None)
        follower.look()
    assert [(line["event"], line["setting"], line.get("value")) for line in lines] == [
        ("configuration_changed", KEY, 10), ("configuration_ignored", "X", None), ("configuration_changed", KEY, None),
    ]  # fmt: skip


def test_a_bug_ends_no_follower() -> None:
    def broken() -> Any:
        raise RuntimeError("a bug")

    follower = refreshing._Follower(broken, threading.Event())
    with capture_logs() as lines:
        follower.look()
    assert [line["event"] for line in lines] == ["configuration_refresh_failed"]


def test_one_refresh_is_one_statement(engine: Engine) -> None:
    put(engine, 10)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    refresh(partial(session_scope, engine))
    assert len(statements) == 1
    override = overrides.of(KEY)
    assert override is not None
    assert override.value == 10


def test_a_fork_waits_for_a_refresh_under_way_and_its_child_can_refresh(engine: Engine, database: str) -> None:
    inside, may_end = threading.Event(), threading.Event()

    def slow() -> Any:
        inside.set()
        may_end.wait(5)
        return session_scope(engine)

    thread = threading.Thread(target=refreshing._Follower(slow, threading.Event()).look)
    thread.start()
    inside.wait(5)
    threading.Timer(0.3, may_end.set).start()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        own = make_engine(database)
        refreshing._Follower(partial(session_scope, own), threading.Event()).look()
        os._exit(0 if not refreshing._fork_guard.refreshing.locked() else 1)
    assert time.monotonic() - began > 0.2
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join(5)
