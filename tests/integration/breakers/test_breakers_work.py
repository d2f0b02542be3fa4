"""Work that meets an open breaker waits unharmed: no attempt, no dead letter, no pause for the rest of the source."""

import time

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from tds_core.breakers.registry import DATABASE, DATABASE_THRESHOLDS, Breakers, report_database
from tds_core.errors import BreakerOpenError
from tds_models.db import make_engine
from tds_tasks import context
from tests.support.breaker_clock import state
from tests.support.standin import StandIn
from tests.support.world import ScriptedSource, World, forget_context

ITEMS = "/inventory/v1/itemdetails"


def states() -> dict[str, str]:
    return {each.name: each.state.value for each in context._breakers(context.getpid()).states()}


def test_a_batch_that_meets_an_open_breaker_spends_no_attempt(world: World, source: ScriptedSource) -> None:
    source.records["1"] = BreakerOpenError("open", after_seconds=40)
    world.enqueue("product", "1", must_read=True)
    for _ in range(12):
        world.drain("product", make_due=True)
    item = world.one("select attempts, snoozes, next_attempt_at > now() + interval '30 s' as waits from tds_sync_queue")
    assert item == {"attempts": 0, "snoozes": 12, "waits": True}
    assert world.value("select count(*) from tds_source_tokens where paused_until > now()") == 0


def test_a_run_that_meets_an_open_breaker_waits_at_its_page(world: World, source: ScriptedSource) -> None:
    source.pages = [BreakerOpenError("open", after_seconds=40)] * 12
    run_id = world.request_run("product", "full")
    for _ in range(12):
        world.execute("update tds_sync_runs set next_attempt_at = now()")
        world.advance(run_id)
    run = world.run_row(run_id)
    assert (run["state"], run["attempts"], run["lease_token"]) == ("running", 0, None)
    assert world.value("select count(*) from tds_source_tokens where paused_until > now()") == 0


def test_an_outage_of_one_part_of_zoho_stops_the_asking_of_that_part_alone(synced: World, standin: StandIn) -> None:
    standin.fail("html_502", ITEMS, count=1000)
    ids = standin.ids("items")[:40]
    synced.enqueue("product", *ids, must_read=True)
    for _ in range(12):
        synced.drain("product", make_due=True)
    asked = [path for path in standin.calls if path.startswith(ITEMS)]
    assert len(asked) == 5
    assert states()["zoho.inventory.itemdetails"] == "open"
    assert synced.value("select max(attempts) from tds_sync_queue") == 0
    assert synced.value("select count(*) from tds_dead_letter_queue") == 0
    assert synced.run("customer", "full")["state"] == "completed"
    assert states()["zoho.books.contacts"] == "closed"


def test_the_token_endpoint_has_a_breaker_of_its_own(
    synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOHO_ACCOUNTS_URL", "http://127.0.0.1:1")
    forget_context()
    synced.enqueue("product", *standin.ids("items")[:3], must_read=True)
    for _ in range(12):
        synced.execute("update tds_source_tokens set blocked_until = null")  # as if its time were over
        synced.drain("product", make_due=True)
    assert states() == {"database": "closed", "zoho.token": "open"}
    assert synced.value("select max(attempts) from tds_sync_queue") == 0
    assert synced.queue_depth() == 3
    assert standin.calls == []


@pytest.fixture
def breakers() -> Breakers:
    return Breakers(special={DATABASE: DATABASE_THRESHOLDS})


def test_the_database_s_breaker_reports_what_cannot_be_reached(breakers: Breakers) -> None:
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none")
    report_database(engine, breakers)
    for _ in range(6):
        with pytest.raises(SQLAlchemyError):
            engine.connect()
    found = state(breakers)
    assert (found.name, found.state, found.rejection_count) == (DATABASE, "open", 0)
    assert "Connection refused" in str(found.last_error)


def test_the_database_s_breaker_takes_a_refused_statement_for_an_answer(engine: Engine, breakers: Breakers) -> None:
    own = create_engine(engine.url)
    report_database(own, breakers)
    for statement in ["select 1 / 0", "set local statement_timeout = 1; select pg_sleep(1)"] * 5:
        with own.connect() as connection, pytest.raises(SQLAlchemyError):
            connection.execute(text(statement))
    own.dispose()
    assert (state(breakers).state, state(breakers).failure_count) == ("closed", 0)
    assert state(breakers).success_count == 1


def test_a_connection_the_server_ended_is_a_failure_to_reach_it(engine: Engine, breakers: Breakers) -> None:
    own = create_engine(engine.url)
    report_database(own, breakers)
    with own.connect() as connection, pytest.raises(SQLAlchemyError):
        connection.execute(text("select pg_terminate_backend(pg_backend_pid())"))
    assert state(breakers).failure_count == 1
    own.dispose()


def test_probes_of_an_outage_cost_no_attempt_and_its_end_is_noticed(
    synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TDS_BREAKER_OPEN_SECONDS", "1")
    monkeypatch.setenv("TDS_BREAKER_OPEN_MOST_SECONDS", "1")
    forget_context()
    standin.fail("html_502", ITEMS, count=8)
    synced.enqueue("product", *standin.ids("items")[:3], must_read=True)
    for _ in range(6):
        synced.drain("product", make_due=True)
    for _ in range(3):
        time.sleep(1.15)
        synced.drain("product", make_due=True)
    assert synced.value("select array_agg(distinct attempts) from tds_sync_queue") == [0]
    time.sleep(1.15)
    synced.drain("product", make_due=True)
    assert synced.queue_depth("product") == 0
    assert len(standin.calls) == 1 + 8 + 1
