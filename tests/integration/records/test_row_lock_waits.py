"""Locks that others hold on the mirror promise: only what is locked waits, nothing is given up, and health says who."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, text

from tds_core.health import health
from tds_core.processing import complete as settling
from tds_models.db import UNLIMITED, make_engine, session_scope
from tests.support.standin import StandIn
from tests.support.world import ScriptedSource, World, at, delivery, invoice, product

IDS = [str(n) for n in range(1, 6)]


def customer(source_id: str, *, second: int = 0, **more: Any) -> dict[str, Any]:
    whole = {"contact_id": source_id, "contact_name": f"Customer {source_id}", "contact_type": "customer"}
    return {**whole, "status": "active", "last_modified_time": at(second).isoformat(), **more}


RECORDS = {"product": product, "invoice": invoice, "customer": customer}
CHANGES: dict[str, dict[str, Any]] = {
    "product": {"name": "New"},
    "invoice": {"status": "paid"},
    "customer": {"contact_name": "New"},
}
SHOWN = {"product": "name", "invoice": "status", "customer": "name"}


@contextmanager
def held(world: World, statement: str, **given: Any) -> Iterator[Connection]:
    """Somebody has begun a transaction and does not end it."""
    engine = make_engine(world.engine.url.render_as_string(hide_password=False), timeouts=UNLIMITED)
    with engine.connect() as other:
        other.execute(text(statement), given)
        yield other
        other.rollback()
    engine.dispose()


def row_of(entity: str) -> str:
    return f"select 1 from erp.{entity} where source_id = '3' for update"


def told(world: World) -> health.ComponentStatus:
    with session_scope(world.engine) as session:
        [component] = [each for each in health.components(health.health_facts(session)) if each.name == "locks"]
        return component


def begin(world: World, entity: str) -> None:
    world.know(entity, RECORDS[entity]("1"))
    world.deliver(*(delivery(entity, RECORDS[entity](each)) for each in IDS))
    world.drain(entity)
    world.execute("delete from tds_sync_queue")


def change(world: World, entity: str) -> None:
    world.deliver(*(delivery(entity, RECORDS[entity](each, second=9, **CHANGES[entity])) for each in IDS))


def changed(world: World, entity: str) -> set[str]:
    [new] = CHANGES[entity].values()
    return {key for key, (value,) in world.mirror(entity, SHOWN[entity]).items() if value == new}


@pytest.mark.parametrize("entity", RECORDS)
@pytest.mark.usefixtures("source")
def test_a_locked_row_waits_alone_costs_nothing_and_is_reported_while_it_lasts(world: World, entity: str) -> None:
    begin(world, entity)
    change(world, entity)
    logged = world.value("select count(*) from tds_sync_logs")
    with held(world, row_of(entity)):
        world.drain(entity)
        for _ in range(12):
            world.drain(entity, make_due=True)
        assert changed(world, entity) == set(IDS) - {"3"}
        item = world.one("select * from tds_sync_queue where source_id = '3'")
        assert (item["attempts"], item["snoozes"], item["failures"], item["must_read"]) == (0, 13, 0, False)
        assert 20 < world.value("select extract(epoch from max(next_attempt_at) - now()) from tds_sync_queue") < 31
        assert world.value("select count(*) from tds_sync_logs") == logged + 4
        assert world.value("select count(*) from tds_inbox_events where verdict is null") == 1
        said = told(world)
        assert said.state is health.HealthState.WARNING
        assert f"erp.{entity} 3, held by pid " in said.says
        assert "since 20" in said.says
    world.drain(entity, make_due=True)
    assert changed(world, entity) == set(IDS)
    assert world.value("select count(*) from tds_dead_letter_queue") == 0
    assert told(world).state is health.HealthState.OK


@pytest.mark.parametrize("mode", ["access exclusive", "exclusive", "share"])
@pytest.mark.parametrize("table", ["invoice", "invoice_line"])
@pytest.mark.usefixtures("source")
def test_a_locked_table_holds_up_its_own_entity_alone(world: World, table: str, mode: str) -> None:
    begin(world, "invoice")
    begin(world, "product")
    with held(world, f"lock table erp.{table} in {mode} mode"):
        change(world, "invoice")
        change(world, "product")
        began = time.monotonic()
        world.drain("product")
        world.drain("invoice")
        assert time.monotonic() - began < 5  # once for all, not once for each
        items = world.rows("select attempts, snoozes from tds_sync_queue where entity = 'invoice'")
        assert items == [{"attempts": 0, "snoozes": 1}] * 5
        assert "erp.invoice, held by pid " in told(world).says
    assert changed(world, "product") == set(IDS)
    world.drain("invoice", make_due=True)
    assert changed(world, "invoice") == set(IDS)
    assert world.value("select count(*) from tds_dead_letter_queue") == 0


@pytest.mark.usefixtures("source")
def test_locked_lines_hold_up_their_own_document_alone(world: World) -> None:
    begin(world, "invoice")
    lines = [{"line_item_id": "1", "item_id": "460000000000001", "quantity": 3, "rate": 10, "item_total": 30}]
    world.deliver(*(delivery("invoice", invoice(key, second=9, status="paid", line_items=lines)) for key in IDS))
    with held(world, "select 1 from erp.invoice_line where parent_id = '3' for update"):
        world.drain("invoice")
        assert changed(world, "invoice") == set(IDS) - {"3"}
        assert world.one("select source_id, attempts from tds_sync_queue where entity = 'invoice'") == {
            "source_id": "3",
            "attempts": 0,
        }
    world.drain("invoice", make_due=True)
    assert changed(world, "invoice") == set(IDS)


@pytest.mark.usefixtures("source")
def test_who_inserts_the_same_row_and_does_not_commit_holds_up_that_row(world: World) -> None:
    world.know("product", product("1"))
    insert = "insert into erp.product (source, source_id, name, source_record, version) values ('zoho','3','x','{}',1)"
    with held(world, insert):
        change(world, "product")
        world.drain("product")
        assert changed(world, "product") == set(IDS) - {"3"}
        assert world.value("select attempts from tds_sync_queue where not must_read") == 0
    world.drain("product", make_due=True)
    assert changed(world, "product") == set(IDS)


@pytest.mark.usefixtures("source")
def test_the_intake_waits_neither_for_a_lock_nor_for_those_who_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(world, "product")
    begin(world, "customer")
    slow: list[float] = []

    def receive(second: int, entity: str) -> None:
        began = time.monotonic()
        world.deliver(*(delivery(entity, RECORDS[entity](key, second=second)) for key in IDS))
        slow.append(time.monotonic() - began)

    with (
        held(world, row_of("product")),
        held(world, "lock table erp.customer in access exclusive mode"),
        ThreadPoolExecutor(2) as workers,
    ):
        change(world, "product")
        change(world, "customer")
        for second in range(10, 40):
            drains = [workers.submit(world.drain, entity) for entity in ("product", "customer")]
            receive(second, "product")
            receive(second, "customer")
            [drain.result() for drain in drains]
    assert max(slow) < 0.2


def test_no_call_is_made_for_a_record_whose_row_is_still_locked(world: World, source: ScriptedSource) -> None:
    begin(world, "product")
    source.records = {each: product(each, second=9, name="New") for each in IDS}
    world.enqueue("product", *IDS, must_read=True)
    with held(world, row_of("product")):
        world.drain("product")
        for _ in range(5):
            world.drain("product", make_due=True)
        assert sum("3" in asked for asked in source.asked) == 1
    world.drain("product", make_due=True)
    assert changed(world, "product") == set(IDS)


@pytest.mark.usefixtures("source")
def test_a_row_that_others_tables_refer_to_is_not_in_the_way(world: World) -> None:
    begin(world, "product")
    change(world, "product")
    with held(world, "select 1 from erp.product for key share"):
        world.drain("product")
        assert changed(world, "product") == set(IDS)


@pytest.mark.parametrize("entity", ["product", "invoice"])
def test_a_page_goes_in_without_the_row_that_is_locked_which_follows(
    synced: World, standin: StandIn, entity: str
) -> None:
    collection, change = {"product": ("items", {"rate": 77}), "invoice": ("invoices", {"notes": "New"})}[entity]
    synced.run(entity, "full")
    first, second, *_ = standin.ids(collection)
    for each in (first, second):
        standin.edit(collection, each, **change)
    before = {each: synced.row(entity, each)["version"] for each in (first, second)}
    with held(synced, f"select 1 from erp.{entity} where source_id = :id for update", id=first):
        assert synced.run(entity, "incremental")["state"] == "completed"
        assert synced.row(entity, first)["version"] == before[first]
        assert synced.row(entity, second)["version"] == before[second] + 1
        assert synced.value("select attempts from tds_sync_queue where source_id = :id", id=first) == 0
    synced.drain(entity, make_due=True)
    assert synced.row(entity, first)["version"] == before[first] + 1
    assert synced.queue_depth() == 0


@pytest.mark.parametrize("mode", ["access exclusive", "share"])
def test_a_run_waits_while_its_table_is_locked(synced: World, standin: StandIn, mode: str) -> None:
    synced.run("product", "full")
    first = standin.ids("items")[0]
    standin.edit("items", first, name="New")
    run_id = synced.request_run("product", "incremental")
    with held(synced, f"lock table erp.product in {mode} mode"):
        for _ in range(9):
            synced.execute("update tds_sync_runs set next_attempt_at = now() where lease_token is null")
            synced.advance(run_id)
        run = synced.run_row(run_id)
        assert (run["state"], run["attempts"], run["failures"]) == ("running", 0, 0)
        assert run["end_reason"].startswith("waits for a lock on erp.product, held by pid ")
        assert "erp.product" in told(synced).says
    synced.execute("update tds_sync_runs set next_attempt_at = now()")
    synced.advance(run_id)
    assert synced.run_row(run_id)["state"] == "completed"
    assert changed(synced, "product") == {first}


@pytest.mark.parametrize("code", ["40P01", "40001"])
@pytest.mark.usefixtures("source")
def test_what_waits_in_a_circle_or_collides_is_tried_again_uncounted(world: World, code: str) -> None:
    begin(world, "product")
    world.execute(
        "create function refuse() returns trigger language plpgsql as $$"
        f" begin raise exception 'in a circle' using errcode = '{code}'; end $$"
    )
    world.execute(
        "create trigger refuse before update on erp.product for each row when (old.source_id = '3')"
        " execute function refuse()"
    )
    change(world, "product")
    for _ in range(10):
        world.drain("product", make_due=True)
    assert changed(world, "product") == set(IDS) - {"3"}
    assert world.value("select attempts from tds_sync_queue") == 0
    world.execute("drop trigger refuse on erp.product")
    world.drain("product", make_due=True)
    assert changed(world, "product") == set(IDS)


def test_a_run_that_collides_goes_on(synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    first = standin.ids("items")[0]
    standin.edit("items", first, name="New")
    synced.execute(
        "create function refuse() returns trigger language plpgsql as $$"
        " begin raise exception 'in a circle' using errcode = '40P01'; end $$"
    )
    synced.execute("create trigger refuse before update on erp.product execute function refuse()")
    run_id = synced.request_run("product", "incremental")
    for _ in range(10):
        synced.execute("update tds_sync_runs set next_attempt_at = now() where lease_token is null")
        synced.advance(run_id)
    assert synced.run_row(run_id)["state"] == "running"
    synced.execute("drop trigger refuse on erp.product")
    synced.execute("update tds_sync_runs set next_attempt_at = now()")
    synced.advance(run_id)
    assert changed(synced, "product") == {first}


@pytest.mark.parametrize("entity", RECORDS)
def test_what_was_given_up_is_no_reason_to_pass_over_the_same_again(
    world: World, source: ScriptedSource, entity: str
) -> None:
    begin(world, entity)
    [column] = {"product": ["name"], "invoice": ["status"], "customer": ["name"]}[entity]
    [new] = CHANGES[entity].values()
    world.execute(f"alter table erp.{entity} add constraint refused check ({column} <> '{new}')")
    said = delivery(entity, RECORDS[entity]("3", second=9, **CHANGES[entity]))
    [first] = world.deliver(said)
    [again] = world.deliver(said)
    assert (again.duplicate, again.event_id) == (True, first.event_id)  # it is still under way
    world.drain(entity)
    assert world.value("select verdict from tds_inbox_events where id = :id", id=first.event_id) == "dead_lettered"
    world.execute(f"alter table erp.{entity} drop constraint refused")
    [anew] = world.deliver(said)
    assert not anew.duplicate
    assert world.deliver(said)[0].event_id == anew.event_id
    world.drain(entity)
    assert changed(world, entity) == {"3"}
    assert world.value("select resolution from tds_dead_letter_queue") == "healed"
    assert world.deliver(said)[0].duplicate  # it ended well


def test_the_wait_grows_from_a_second_to_half_a_minute() -> None:
    waits: Mapping[int, float] = {n: settling.wait_seconds(n, 0.0) for n in (0, 1, 3, 5, 9, 500)}
    assert waits == {0: 1, 1: 2, 3: 8, 5: 30, 9: 30, 500: 30}
