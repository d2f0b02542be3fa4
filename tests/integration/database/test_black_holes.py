"""Packets to PostgreSQL that vanish promise: every process is back within 15 seconds, and webhooks get answers."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg2.extensions
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from tds_core.database_errors import is_away
from tds_core.database_urls import without_driver
from tds_models.db import Timeouts, make_engine, session_scope, set_statement_timeout
from tests.support.black_hole import BlackHole, black_hole
from tests.support.webhook_sender import Sender, sender_for, wrapped
from tests.support.world import ScriptedSource, World, forget_context, product

BACK_SECONDS = 15.0


@pytest.fixture
def hole(database: str) -> Iterator[BlackHole]:
    dsn = psycopg2.extensions.parse_dsn(without_driver(database))
    with black_hole(dsn["host"], int(dsn["port"])) as proxy:
        yield proxy


@pytest.fixture
def through(database: str, hole: BlackHole) -> str:
    """The database's address through the hole."""
    before, _, name = database.rpartition("/")
    return f"{before.rpartition(':')[0]}:{hole.port}/{name}"


def seconds_until(holds: Callable[[], bool], most: float) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < most, "not back in time"
        time.sleep(0.1)
    return time.monotonic() - began


def works(engine: Engine) -> bool:
    try:
        with session_scope(engine) as session:
            return bool(session.execute(text("select true")).scalar())
    except OperationalError as error:
        assert is_away(error)
        return False


@pytest.mark.parametrize("ping", [True, False])
def test_an_engine_gives_up_connections_nothing_comes_through(hole: BlackHole, through: str, ping: bool) -> None:
    engine = make_engine(through, ping=ping, pool_size=3, timeouts=Timeouts(statement=2))
    with engine.connect() as one, engine.connect() as two:
        assert {each.execute(text("select 1")).scalar() for each in (one, two)} == {1}
    hole.swallow(new=False)
    assert seconds_until(lambda: works(engine), 6) < 6
    hole.swallow(new=True)
    assert not works(engine)
    hole.let_through()
    assert seconds_until(lambda: works(engine), 6) < 6
    engine.dispose()


def test_a_statement_under_way_a_commit_and_a_copy_end_as_for_a_server_that_went_away(
    hole: BlackHole, through: str
) -> None:
    engine = make_engine(through, timeouts=Timeouts(statement=1))

    def in_the_hole(do: Callable[[], object]) -> None:
        threading.Timer(0.2, hole.swallow, kwargs={"new": False}).start()
        began = time.monotonic()
        with pytest.raises(OperationalError) as caught:
            do()
        assert is_away(caught.value)
        assert caught.value.connection_invalidated
        assert time.monotonic() - began < 5

    def commit() -> None:
        with session_scope(engine) as session:
            session.execute(text("create temporary table if not exists notes (n int)"))
            time.sleep(0.5)

    def ask() -> None:
        with session_scope(engine) as session:
            session.execute(text("select pg_sleep(0.9)"))

    in_the_hole(commit)
    in_the_hole(ask)
    engine.dispose()


def test_what_takes_its_time_is_waited_for_and_the_next_transaction_is_as_any_other(database: str) -> None:
    engine = make_engine(database, timeouts=Timeouts(statement=1))
    with session_scope(engine) as session:
        set_statement_timeout(session, 20)
        session.execute(text("select pg_sleep(4)"))
    with pytest.raises(OperationalError, match="statement timeout"), session_scope(engine) as session:
        session.execute(text("select pg_sleep(4)"))
    engine.dispose()


def test_a_process_that_was_forked_has_a_watchdog_of_its_own(hole: BlackHole, through: str) -> None:
    engine = make_engine(through, timeouts=Timeouts(statement=1))
    assert works(engine)
    child = os.fork()
    if child == 0:
        own = make_engine(through, ping=False, timeouts=Timeouts(statement=1))
        passed = works(own)
        time.sleep(3)
        passed = passed and not works(own)
        os._exit(0 if passed else 1)
    time.sleep(1)
    hole.swallow(new=False)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    engine.dispose()


def test_webhooks_get_answers_and_new_connections_are_used_while_old_ones_are_holes(
    hole: BlackHole, through: str, engine: Engine
) -> None:
    with sender_for(through, engine) as sender, ThreadPoolExecutor(8) as senders:
        assert sender.send(wrapped("1")).status_code == 202
        assert sender.get("/api/tds/queue").status_code == 200
        hole.swallow(new=False)
        answers = list(senders.map(lambda n: _timed(sender, n), range(10, 18)))
        assert {status for status, _ in answers} <= {202, 503}
        assert max(seconds for _, seconds in answers) < 7
        # Those who gave up are still in line for a moment, and so long nobody is let in behind them.
        assert seconds_until(lambda: sender.send(wrapped("2")).status_code == 202, BACK_SECONDS) < BACK_SECONDS
        assert seconds_until(lambda: sender.get("/api/tds/queue").status_code == 200, BACK_SECONDS) < BACK_SECONDS
        hole.swallow(new=True)
        status, seconds = _timed(sender, 3)
        assert status == 503
        assert seconds < 7
        hole.let_through()
        assert seconds_until(lambda: sender.send(wrapped("4")).status_code == 202, BACK_SECONDS) < BACK_SECONDS
        assert seconds_until(lambda: sender.get("/api/tds/queue").status_code == 200, BACK_SECONDS) < BACK_SECONDS


def _timed(sender: Sender, number: int) -> tuple[int, float]:
    began = time.monotonic()
    return sender.send(wrapped(str(number))).status_code, time.monotonic() - began


def test_a_worker_is_back_and_its_work_is_done(
    world: World, source: ScriptedSource, hole: BlackHole, through: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TDS_DATABASE_URL", through)
    forget_context()
    ids = [str(n) for n in range(5)]
    source.records = {each: product(each) for each in ids}
    world.enqueue("product", *ids, must_read=True)
    world.drain("product")
    source.records = {each: product(each, second=1, name="New") for each in ids}
    world.enqueue("product", *ids, must_read=True)
    hole.swallow(new=False)
    began = time.monotonic()
    while [name for (name,) in world.mirror("product", "name").values()] != ["New"] * 5:
        assert time.monotonic() - began < BACK_SECONDS
        world.drain("product", make_due=True)


def test_the_dispatcher_leads_again(hole: BlackHole, through: str, engine: Engine, redis_url: str) -> None:
    environ = {**os.environ, "TDS_DATABASE_URL": through, "TDS_REDIS_URL": redis_url}
    process = subprocess.Popen([sys.executable, "-m", "tds_tasks.dispatcher"], env=environ)

    def beat_at() -> object:
        with session_scope(engine) as session:
            return session.execute(text("select beat_at from tds_pulses where name = 'dispatcher'")).scalar()

    try:
        seconds_until(lambda: beat_at() is not None, 60)
        hole.swallow(new=True)
        time.sleep(3)
        before = beat_at()
        hole.let_through()
        assert seconds_until(lambda: beat_at() != before, BACK_SECONDS) < BACK_SECONDS
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_work_item_in_hands_that_stand_still_holds_up_no_other_record(
    world: World, database: str, engine: Engine
) -> None:
    with sender_for(database, engine) as sender, ThreadPoolExecutor(8) as senders:
        assert sender.send(wrapped("1")).status_code == 202
        with world.engine.connect() as frozen:
            frozen.execute(text("select 1 from tds_sync_queue for update"))
            changed = senders.submit(sender.send, wrapped("1", name="Changed"))
            answers = list(senders.map(lambda n: _timed(sender, n), range(2, 9)))
            assert {status for status, _ in answers} == {202}
            assert max(seconds for _, seconds in answers) < 4
            assert changed.result().status_code == 503
        assert sender.send(wrapped("1", name="Changed")).status_code == 202
