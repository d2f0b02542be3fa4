"""What is changed at run time has its effect where it is used, in objects that were made before the change."""

import time

import fakeredis
import pytest
from sqlalchemy import Engine

from tds_core.breakers.registry import Breakers, open_breakers
from tds_core.config.settings import load_settings
from tds_core.errors import InvalidRecordError, RateError
from tds_core.observability.logging import configure_logging
from tds_core.observability.slow_operations import slow
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota.governor import open_governor
from tds_tasks import schedule
from tds_tasks.breaker_wakeup import BreakerWakeup
from tds_tasks.context import settings
from tds_tasks.dispatcher import Dispatcher
from tds_tasks.healing_loop import HealingRunner
from tests.support.breaker_clock import NAME, ask, fail, is_refused, state
from tests.support.configuring import configure
from tests.support.planted_rows import plant
from tests.support.standin import StandIn
from tests.support.webhook_sender import sender_for, wrapped
from tests.support.worker_reports import healing_context_of
from tests.support.world import ScriptedSource, World, delivery, product


def test_a_lower_guard_holds_the_next_run(synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    for number, record_id in enumerate(standin.ids("items")[:14]):
        standin.edit("items", record_id, rate=70.5 + number // 7)
        if number == 6:
            assert synced.run("product", "full")["state"] == "completed"
            configure(synced.engine, guard_records=6)
    assert synced.run("product", "full")["state"] == "held"


def breakers_of(shared: bool) -> Breakers:
    made = open_breakers(load_settings({}))
    if shared:
        return Breakers(fakeredis.FakeRedis(server=fakeredis.FakeServer()), settings=load_settings({}))
    return made


@pytest.mark.parametrize("shared", [True, False])
def test_breakers_that_are_switched_off_let_calls_pass_and_go_on_measuring(engine: Engine, shared: bool) -> None:
    breakers = breakers_of(shared)
    fail(breakers, 5)
    assert is_refused(breakers)
    configure(engine, circuit_breaker_enabled="no")
    counted = state(breakers)
    assert not is_refused(breakers)
    fail(breakers, 3)
    found = state(breakers)
    assert (found.state, found.failure_count - counted.failure_count) == (counted.state, 3)
    assert found.rejection_count == counted.rejection_count
    configure(engine, circuit_breaker_enabled="yes")
    assert is_refused(breakers)


def test_work_that_waits_for_an_open_breaker_goes_on_when_breakers_are_switched_off(
    world: World, redis_url: str
) -> None:
    breakers = open_breakers(load_settings({"TDS_REDIS_URL": redis_url}))
    fail(breakers, 5)
    world.enqueue("product", "1")
    world.execute("update tds_sync_queue set waits_for = :name, next_attempt_at = now() + interval '1 hour'", name=NAME)
    waker = BreakerWakeup(breakers, calls_per_minute=lambda: 0, look_seconds=0.5)
    looking = Dispatcher(waker, slots=lambda: 4, claim_size=lambda: settings().claim_size)
    with world.engine.connect() as connection:
        looking.look(connection)
        assert world.value("select waits_for from tds_sync_queue") == NAME
        configure(world.engine, circuit_breaker_enabled="no")
        looking.look(connection)
    assert world.one("select waits_for, next_attempt_at <= now() as is_due from tds_sync_queue") == {
        "waits_for": None, "is_due": True,
    }  # fmt: skip


def test_thresholds_of_breakers_change_in_those_that_exist(engine: Engine) -> None:
    breakers = breakers_of(shared=False)
    ask(breakers)
    configure(engine, breaker_failures=2, breaker_open_seconds=600, breaker_open_most_seconds=1200)
    fail(breakers, 2)
    assert is_refused(breakers)
    probe_at = state(breakers).next_probe_at
    assert probe_at is not None
    assert probe_at.timestamp() - time.time() > 300


def test_no_cycle_of_healing_runs_while_it_is_switched_off(world: World) -> None:
    runner = HealingRunner(healing_context_of(world), overdue_seconds=-1.0)
    configure(world.engine, auto_healing_enabled="no")
    assert schedule.JOBS["heal"]({}) == schedule.SWITCHED_OFF
    assert schedule.JOBS["revive"]({}) == schedule.SWITCHED_OFF
    runner.look()
    assert world.value("select count(*) from tds_healing_cycles") == 0
    configure(world.engine, auto_healing_enabled="yes")
    runner.look()
    assert world.value("select count(*) from tds_healing_cycles") == 1


def test_retention_deletes_earlier(world: World, source: ScriptedSource) -> None:
    source.records["1"] = product("1")
    world.deliver(delivery("product", product("1")))
    world.enqueue("product", "1")
    world.drain("product", make_due=True)
    plant(
        world.engine, "tds_metrics", {"name": "backlog", "subject": "", "at": world.value("select now()"), "value": 1}
    )
    ages = {"tds_inbox_events": "received_at", "tds_sync_logs": "ended_at", "tds_metrics": "at"}

    def kept_when_old(days: int) -> list[str]:
        for table, column in ages.items():
            world.execute(f"update {table} set {column} = now() - make_interval(days => :days, hours => 1)", days=days)
        schedule.JOBS["retention"]({})
        return [table for table in ages if world.value(f"select count(*) from {table}")]

    assert kept_when_old(6) == list(ages)
    configure(world.engine, events_days=5)
    assert kept_when_old(6) == ["tds_sync_logs", "tds_metrics"]
    configure(world.engine, attempts_days=3, metrics_days=4)
    assert kept_when_old(3) == ["tds_metrics"]
    assert kept_when_old(4) == []


def test_letters_are_retried_at_the_new_pace_and_after_the_new_time(world: World, source: ScriptedSource) -> None:
    source.records["1"] = InvalidRecordError("no")
    world.enqueue("product", "1")
    world.drain("product", make_due=True)
    world.execute("update tds_dead_letter_queue set last_dead_at = now() - interval '2 hours'")
    assert schedule.JOBS["revive"]({}) == "0 dead letters"
    configure(world.engine, revive_after_seconds=3600)
    assert schedule.JOBS["revive"]({}) == "1 dead letters"


def test_a_batch_of_letters_gets_the_pace_in_force(world: World, source: ScriptedSource, database: str) -> None:
    source.records["1"] = InvalidRecordError("no")
    world.enqueue("product", "1")
    world.drain("product", make_due=True)
    with sender_for(database, world.engine) as sender:
        configure(world.engine, revive_per_minute=7)
        assert sender.post("/api/tds/dead-letter/retry", {"entity": "product"}).json["per_minute"] == 7


def test_webhooks_are_duplicates_within_the_new_window_only(database: str, engine: Engine) -> None:
    with sender_for(database, engine) as sender:
        sender.send(wrapped())
        assert sender.send(wrapped()).status_code == 200
        configure(engine, duplicate_window_seconds=0)
        assert sender.send(wrapped()).status_code == 202


def test_the_limits_of_requests_and_of_slow_operations_are_those_in_force(database: str, engine: Engine) -> None:
    configure_logging(load_settings({"TDS_LOG_LEVEL": "ERROR"}), process="test")
    configure(engine, requests_per_minute=60, slow_seconds=0.5)
    with sender_for(database, engine) as sender:
        answers = {sender.get("/api/tds/findings").status_code for _ in range(70)}
    assert answers == {200, 429}
    assert slow.limit_seconds == 0.5


def test_the_limits_of_calls_to_zoho_are_those_in_force_in_governors_that_exist(engine: Engine, redis_url: str) -> None:
    governor = open_governor(load_settings({"TDS_REDIS_URL": redis_url, "ZOHO_QUOTA_WAIT_SECONDS": "0"}))

    def made(count: int) -> int:
        done = 0
        for _ in range(count):
            try:
                with governor.admit(api="books", traffic=Traffic.LIVE):
                    done += 1
            except RateError:
                pass
        return done

    assert made(5) == 5
    configure(engine, zoho_calls_per_minute=7, zoho_quota_margin_percent=0)
    assert made(5) == 2
    assert governor.usage().minute.limit == 7
    configure(engine, zoho_calls_per_minute=9)
    assert made(5) == 2


def test_a_governor_begun_without_limits_keeps_to_those_that_come(engine: Engine, redis_url: str) -> None:
    names = (
        "ZOHO_CALLS_PER_MINUTE",
        "ZOHO_CONCURRENT_CALLS",
        "ZOHO_BOOKS_CALLS_PER_DAY",
        "ZOHO_INVENTORY_CALLS_PER_DAY",
    )
    unlimited = load_settings({"TDS_REDIS_URL": redis_url, **dict.fromkeys(names, "0")})
    first, second = open_governor(unlimited), open_governor(unlimited)
    with first.admit(api="books", traffic=Traffic.LIVE):
        assert first.usage().minute.limit == 0
    configure(engine, zoho_calls_per_minute=1, zoho_quota_wait_seconds=0)
    with first.admit(api="books", traffic=Traffic.LIVE):
        pass
    with pytest.raises(RateError), second.admit(api="books", traffic=Traffic.LIVE):
        pass
