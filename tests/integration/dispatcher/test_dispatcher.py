"""The dispatcher promises: due work is announced, by one leader, and it outlives Redis and PostgreSQL going away."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from redis.exceptions import ConnectionError as RedisAway
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from tds_core.breakers.registry import Breakers
from tds_models.db import make_engine
from tds_tasks import dispatcher as dispatching
from tds_tasks import worker_nudges
from tds_tasks.app import app
from tds_tasks.breaker_wakeup import BreakerWakeup
from tds_tasks.dispatcher import Dispatcher, lead
from tests.support.world import World


@pytest.fixture
def looking(world: World) -> Dispatcher:
    return Dispatcher(
        BreakerWakeup(Breakers(), calls_per_minute=lambda: 0, look_seconds=0.5), slots=lambda: 4, claim_size=lambda: 10
    )


def look(world: World, looking: Dispatcher) -> list[str]:
    """One look. Returns what was announced in it."""
    world.nudged.clear()
    with world.engine.connect() as connection:
        looking.look(connection)
    return sorted(world.nudged)


def make_old(world: World) -> None:
    world.execute("update tds_sync_queue set next_attempt_at = now() - interval '1 second'")


def wait_for(happened: Callable[[], bool], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not happened() and time.monotonic() < until:
        time.sleep(0.02)
    return happened()


def test_due_work_without_a_nudge_is_announced(world: World, looking: Dispatcher) -> None:
    world.enqueue("product", "1")
    make_old(world)
    assert look(world, looking) == ["tds.sync.product"]


def test_back_fill_that_rests_wakes_nobody(world: World, looking: Dispatcher) -> None:
    world.enqueue("invoice", "1", bulk=True)
    world.enqueue("product", "1", bulk=True)
    make_old(world)
    world.execute("insert into tds_backfill_rests values ('zoho', 'books', now() + interval '1 minute', 'used')")
    assert look(world, looking) == ["tds.sync.product"]
    world.enqueue("invoice", "2")
    make_old(world)
    assert look(world, looking) == ["tds.sync.invoice"]


def test_as_many_workers_are_woken_as_there_is_work_and_no_more(world: World, looking: Dispatcher) -> None:
    world.enqueue("product", *(str(n) for n in range(25)))
    world.enqueue("invoice", *(str(n) for n in range(900)))
    make_old(world)
    assert look(world, looking) == ["tds.sync.invoice"] * 4 + ["tds.sync.product"] * 3


def test_fresh_waiting_and_claimed_work_is_left_in_peace(world: World, looking: Dispatcher) -> None:
    world.enqueue("product", "fresh")
    world.enqueue("vendor", "waiting")
    world.enqueue("customer", "claimed")
    world.execute("update tds_sync_queue set next_attempt_at = now() + interval '1 hour' where entity = 'vendor'")
    world.claim("customer")
    assert look(world, looking) == []


def test_the_same_word_is_not_said_twice_in_a_moment(world: World, looking: Dispatcher) -> None:
    world.enqueue("product", "1")
    make_old(world)
    assert look(world, looking) == ["tds.sync.product"]
    assert look(world, looking) == []


def test_runs_that_wait_are_announced_but_never_so_many_that_they_take_all_workers(
    world: World, looking: Dispatcher
) -> None:
    for entity in ("product", "customer", "vendor", "invoice"):
        world.request_run(entity, "full")
    assert look(world, looking) == ["tds.run.advance"] * dispatching.RUNS_AT_ONCE


def test_silent_leases_are_taken_back_and_announced(world: World, looking: Dispatcher) -> None:
    world.enqueue("product", "1")
    world.claim(lease_seconds=0)
    assert look(world, looking) == ["tds.sync.product"]
    assert world.value("select count(*) from tds_sync_queue where lease_token is null") == 1


def test_what_was_just_announced_is_announced_again_when_a_lease_is_taken_back(
    world: World, looking: Dispatcher
) -> None:
    world.enqueue("product", "1", "2")
    make_old(world)
    assert look(world, looking) == ["tds.sync.product"]
    world.claim(lease_seconds=0)
    assert look(world, looking) == ["tds.sync.product"]
    assert look(world, looking) == []


def test_a_look_without_redis_still_rescues_and_the_next_one_announces(
    world: World, looking: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.enqueue("product", "1")
    world.claim(lease_seconds=0)
    world.enqueue("vendor", "2")
    make_old(world)

    def away(task: str, *args: int) -> None:
        raise RedisAway("connection refused")

    works = worker_nudges._send
    monkeypatch.setattr(worker_nudges, "_send", away)
    assert look(world, looking) == []
    assert world.value("select count(*) from tds_sync_queue where lease_token is not null") == 0
    assert world.value("select count(*) from tds_pulses where name = 'dispatcher'") == 1
    monkeypatch.setattr(worker_nudges, "_send", works)
    assert look(world, looking) == ["tds.sync.product", "tds.sync.vendor"]
    assert look(world, looking) == []


@contextmanager
def leading(engine: Engine, seen: list[int], number: int, errors: list[Exception]) -> Iterator[threading.Event]:
    """A dispatcher on a thread of its own, that notes its number at every look."""
    stop = threading.Event()

    class Noting(Dispatcher):
        def look(self, connection: object) -> None:
            seen.append(number)

    def run() -> None:
        try:
            lead(engine, Noting(engine, slots=lambda: 1, claim_size=1), stop)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield stop
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_only_one_leads_and_another_takes_over_when_it_ends(
    world: World, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "LOOK_SECONDS", 0.02)
    seen: list[int] = []
    errors: list[Exception] = []
    first, second = make_engine(database), make_engine(database)
    with leading(first, seen, 1, errors) as stop:
        assert wait_for(lambda: len(seen) > 3)
        with leading(second, seen, 2, errors):
            time.sleep(0.3)
            assert set(seen) == {1}
            stop.set()
            assert wait_for(lambda: 2 in seen)
    first.dispose()
    second.dispose()
    assert errors == []


def test_a_leader_whose_connection_dies_says_so_and_makes_room(
    world: World, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "LOOK_SECONDS", 0.02)
    seen: list[int] = []
    errors: list[Exception] = []
    engines = [make_engine(database, application=f"dispatcher-{n}") for n in (1, 2)]
    with leading(engines[0], seen, 1, errors), leading(engines[1], seen, 2, errors):
        assert wait_for(lambda: len(seen) > 3)
        leader = seen[0]
        with world.engine.begin() as connection:
            name = f"dispatcher-{leader}"
            connection.execute(
                text("select pg_terminate_backend(pid) from pg_stat_activity where application_name = :name"),
                {"name": name},
            )
        assert wait_for(lambda: 3 - leader in seen)
        # It notices at its next look, which on a busy machine may come after the other's first.
        assert wait_for(lambda: len(errors) == 1)
    for engine in engines:
        engine.dispose()


def test_a_leader_that_stumbles_leads_again(world: World, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatching, "LOOK_SECONDS", 0.02)
    engine = make_engine(database, pool_size=2)
    stop, looks = threading.Event(), []

    class Stumbling(Dispatcher):
        def look(self, connection: Connection) -> None:
            looks.append(1)
            if len(looks) == 1:
                connection.execute(text("select pg_terminate_backend(pg_backend_pid())"))
            stop.set()

    dispatcher = Stumbling(engine, slots=lambda: 1, claim_size=1)
    rounds: list[int] = []
    with pytest.raises(SQLAlchemyError):
        lead(engine, dispatcher, stop, lambda: rounds.append(1))
    assert rounds == [1]
    again = threading.Thread(target=lead, args=(engine, dispatcher, stop), daemon=True)
    again.start()
    assert wait_for(lambda: len(looks) == 2)
    again.join(5)
    engine.dispose()


def test_a_nudge_reaches_the_queue_of_its_entity_in_redis(redis_url: str) -> None:
    with app.connection_for_write(redis_url) as connection:
        app.send_task("tds.sync.invoice", connection=connection, expires=30, ignore_result=True)
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("tds:tds.high") == 1


def test_changes_to_be_sent_are_announced_while_most_workers_are_left_to_syncing(
    world: World, looking: Dispatcher
) -> None:
    world.execute("insert into tds_subscriptions (name, url, secret, message_key, position, created_by)"
                  " values ('shop', 'https://shop.example/', '', 'k', 0, 'test')")  # fmt: skip
    assert look(world, looking) == []
    world.execute("insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin,"
                  " correlation_id) values ('zoho', 'product', '1', 1, 'created', '{}', 'run', 'c')")  # fmt: skip
    assert look(world, looking) == ["tds.outbound.deliver"]
    assert look(world, looking) == [], "it was announced a moment ago"
    world.execute("insert into tds_outbound_lanes (subscription_id, source, entity, source_id, entry_id, version,"
                  " last_id, lease_token, leased_by, next_attempt_at) select id, 'zoho', 'product', n::text, 1, 1, 1,"
                  " gen_random_uuid(), 'elsewhere ' || n, now() + interval '1 minute'"
                  " from tds_subscriptions, generate_series(1, 2) n")  # fmt: skip
    looking._nudged_at.clear()
    assert look(world, looking) == []
    world.execute("update tds_subscriptions set state = 'paused'")
    world.execute("delete from tds_outbound_lanes")
    assert look(world, looking) == []
