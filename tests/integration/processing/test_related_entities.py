"""A product and its stock are made of one record: one reading tells both, and they never disagree."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine, event

from tds_core.processing.related_entities import siblings_of
from tds_core.queue import items
from tds_core.records.transform import Provenance, RecordView, transform
from tds_core.sync.change_limits import ChangeLimits
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tds_tasks import context
from tds_tasks import runs as run_tasks
from tests.support import world as worlds
from tests.support.standin import SMALL, StandIn, serving
from tests.support.world import ScriptedSource, World, delivery, product

SHARED = ("product", "stock_level")
STOCK = "select stock_on_hand::float8 from erp.{} where source_id = :id"
READINGS = ("/inventory/v1/itemdetails", "/inventory/v1/items/")


def load(world: World) -> None:
    for name in SHARED:
        world.run(name, "full", drains=False)
    for name in SHARED:
        world.drain(name)


def readings(standin: StandIn) -> list[str]:
    return [path for path in standin.calls if path.startswith(READINGS)]


def held(world: World, source_id: str) -> list[float]:
    return [world.value(STOCK.format(name), id=source_id) for name in SHARED]


def test_siblings_are_those_made_of_the_same_records() -> None:
    found = {name: tuple(each.name for each in siblings_of(name)) for name in ENTITIES}
    assert {name: others for name, others in found.items() if others} == {
        "product": ("stock_level",),
        "stock_level": ("product",),
    }, "customers and vendors are told apart by their kind"


def test_a_first_load_reads_every_item_once(synced: World, standin: StandIn) -> None:
    load(synced)
    assert readings(standin) == ["/inventory/v1/itemdetails"]
    assert synced.queue_depth() == 0
    for name in SHARED:
        assert synced.value(f"select count(*) from erp.{name} where lines_confirmed_at is null") == 0


@pytest.mark.parametrize("read", SHARED)
def test_stock_is_the_same_in_both_whichever_was_read(synced: World, standin: StandIn, read: str) -> None:
    load(synced)
    source_id = next(key for key in standin.ids("items") if standin.detail("items", key)["locations"])
    standin.edit("items", source_id, stock_on_hand=1234)
    standin.calls.clear()
    synced.enqueue(read, source_id)
    for name in SHARED:
        synced.drain(name)
    assert held(synced, source_id) == [1234, 1234]
    assert len(readings(standin)) == 1
    assert synced.queue_depth() == 0


@pytest.mark.parametrize("read", SHARED)
def test_what_is_gone_is_gone_from_both_after_one_call(synced: World, standin: StandIn, read: str) -> None:
    load(synced)
    source_id = standin.ids("items")[3]
    standin.delete("items", source_id)
    standin.calls.clear()
    for name in SHARED:
        synced.run(name, "full", drains=False)
    synced.drain(read)
    for name in SHARED:
        synced.drain(name)
        assert synced.row(name, source_id)["deleted_at"] is not None
    assert [path for path in standin.calls if path.endswith(source_id)] == [f"/inventory/v1/items/{source_id}"]


def test_a_record_that_is_gone_makes_no_row_where_there_was_none(world: World, source: ScriptedSource) -> None:
    world.deliver(delivery("product", product()))
    world.drain("product")
    world.execute("delete from tds_sync_queue")
    world.enqueue("product", product()["item_id"])
    world.drain("product")
    assert world.row("product", product()["item_id"])["deleted_at"] is not None
    assert world.value("select count(*) from erp.stock_level") == 0


def test_what_a_webhook_said_since_is_not_answered_by_the_other_s_reading(synced: World, standin: StandIn) -> None:
    load(synced)
    source_id = standin.ids("items")[3]
    synced.deliver(delivery("product", standin.detail("items", source_id)))
    synced.enqueue("stock_level", source_id)
    synced.drain("stock_level")
    assert synced.queue_depth("product") == 1
    synced.drain("product")
    assert len([verdict for verdict in synced.verdicts() if verdict]) == 1


def test_what_is_owed_after_the_question_stays_owed(synced: World, standin: StandIn) -> None:
    load(synced)
    source_id = standin.ids("items")[3]
    asked: list[str] = []

    def owe(path: str, _query: object) -> None:
        if path.startswith(READINGS) and not asked:
            asked.append(path)
            with session_scope(synced.engine) as session:
                items.enqueue(session, entity="stock_level", source_ids=[source_id], origin="run", bulk=True)

    standin.before_call = owe
    synced.enqueue("product", source_id)
    synced.drain("product")
    assert synced.queue_depth("stock_level") == 1


def test_a_quiet_stock_sync_lists_and_reads_nothing(synced: World, standin: StandIn) -> None:
    load(synced)
    synced.run("stock_level", "incremental")
    standin.calls.clear()
    told = synced.value("select count(*) from tds_audit_trail")
    standing = synced.mirror("stock_level", "xmin::text")
    run = synced.run("stock_level", "incremental")
    pages = -(-len(standing) // 10)
    assert standin.calls == ["/inventory/v1/items"] * run["api_call_count"]
    assert pages <= run["api_call_count"] <= pages + 1
    assert synced.mirror("stock_level", "xmin::text") == standing
    assert synced.value("select count(*) from tds_audit_trail") == told


@contextmanager
def older(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, database: str, home: Path
) -> Iterator[tuple[World, StandIn]]:
    """A world beside an organisation whose places are still called warehouses."""
    with (
        serving(msgspec.structs.replace(SMALL, warehouses=True)) as standin,
        worlds.opened(monkeypatch, engine, database, str(home), standin.settings) as world,
    ):
        yield world, standin


def test_an_organisation_before_locations_has_its_places_all_the_same(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, database: str, tmp_path: Path
) -> None:
    with older(monkeypatch, engine, database, tmp_path) as (world, standin):
        for name in (*SHARED, "invoice", "stock_adjustment"):
            world.run(name, "full")
        item = next(key for key in standin.ids("items") if standin.detail("items", key).get("warehouses"))
        there = [(each["warehouse_id"], each["warehouse_name"], float(each["warehouse_stock_on_hand"]))
                 for each in standin.detail("items", item)["warehouses"]]  # fmt: skip
        here = world.rows(
            "select location_id, location_name, stock_on_hand::float8 as held from erp.stock_level_location"
            " where parent_id = :id order by position", id=item,
        )  # fmt: skip
        assert [tuple(row.values()) for row in here] == there != []
        for table in ("invoice", "invoice_line", "stock_adjustment", "stock_adjustment_line"):
            assert world.value(f"select count(*) from erp.{table}") > 0
            assert world.value(f"select count(*) from erp.{table} where location_id is null") == 0, table


def test_a_time_to_come_is_no_evidence_by_the_sibling_s_reading_either(world: World, source: ScriptedSource) -> None:
    record = product(locations=[])
    source_id = record["item_id"]
    source.records[source_id] = record
    world.enqueue("product", source_id)
    world.drain("product")
    source.records[source_id] = {**record, "name": "renamed", "last_modified_time": "2081-01-01T00:00:00+0300"}
    world.enqueue("stock_level", source_id)
    world.drain("stock_level")
    row = world.row("product", source_id)
    assert row["name"] == "renamed"
    assert row["source_modified_at"] < datetime.now(UTC) + timedelta(minutes=1)
    assert world.value("select entity from tds_findings where kind = 'future_time' and subject = :id", id=source_id)


def test_what_a_held_pass_waits_with_is_not_brought_over_by_its_sibling(
    synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(synced)
    monkeypatch.setattr(run_tasks, "_limits", lambda: ChangeLimits(percent=5, records=6))
    for source_id in standin.ids("items")[:20]:
        standin.edit("items", source_id, rate=77.5)
    run_id = synced.request_run("product", "full")
    synced.advance(run_id)
    assert synced.run_row(run_id)["state"] == "held"
    changed = "select count(*) from erp.product where price = 77.5"
    before = synced.value(changed)
    synced.run("stock_level", "full")
    assert synced.value(changed) == before


@pytest.mark.parametrize("read", SHARED)
def test_new_rows_of_siblings_are_written_in_one_order_whichever_was_read(
    world: World, source: ScriptedSource, read: str
) -> None:
    record = product(locations=[])
    source.records[record["item_id"]] = record
    written: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        if "insert into erp." in statement:
            written.append(statement.split("insert into erp.")[1].split(maxsplit=1)[0])

    event.listen(context._engine(os.getpid()), "before_cursor_execute", note)
    world.enqueue(read, record["item_id"])
    world.drain(read)
    assert written == list(SHARED)


@pytest.mark.parametrize("empty", [None, [], {}, ""])
def test_an_empty_new_key_beside_a_full_older_one_hides_nothing(empty: object) -> None:
    record = {"item_id": "1", "locations": empty, "warehouses": [{"warehouse_id": "7", "warehouse_stock_on_hand": 3}]}
    params = {"view": RecordView.DETAIL, "provenance": Provenance("run")}
    read = transform(ENTITIES["stock_level"], msgspec.json.encode(record), **params)
    assert [line["location_id"] for line in read.lines["locations"]] == ["7"]
