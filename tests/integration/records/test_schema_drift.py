"""Schema drift promises: what a source never showed before is said once, and what it always shows costs no question."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import event

from tds_core.sources.base import ListedRow, ListPage
from tds_tasks import context
from tests.support.standin import StandIn
from tests.support.world import ScriptedSource, World, at, invoice, product

FOUND = """select subject, severity, detail ->> 'news' as news, entity from tds_findings
           where kind = 'schema_drift' order by id"""


def page(*records: dict[str, Any]) -> ListPage:
    rows = [ListedRow(each["item_id"], at(0), msgspec.json.encode(each)) for each in records]
    return ListPage(rows, has_more=False)


def products(count: int, **more: Any) -> list[dict[str, Any]]:
    return [product(f"4600000000{n:05}", **more) for n in range(count)]


def full(world: World, source: ScriptedSource, *records: dict[str, Any]) -> None:
    source.pages = [page(*records)]
    assert world.run("product", "full", drains=False)["state"] == "completed"


def found(world: World) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in world.rows(FOUND)]


def test_a_first_pass_learns_and_a_second_one_finds(world: World, source: ScriptedSource) -> None:
    full(world, source, *products(3), product("9", colour="red"))
    assert found(world) == []
    known = {row["key"] for row in world.rows("select key from tds_known_keys where part = 'list'")}
    assert {"item_id", "name", "rate", "colour"} <= known
    full(world, source, *products(3, second=1, weight=3, cf_size="L"))
    assert found(world) == [("weight", "note", "new key", "product")]
    full(world, source, *products(3, second=2, weight=4, length=1))
    assert [subject for subject, *_ in found(world)] == ["weight", "length"]


def test_another_process_knows_what_one_has_learned(world: World, source: ScriptedSource) -> None:
    full(world, source, *products(3))
    full(world, source, *products(3, second=1, weight=3))
    world.forget_what_is_known()
    full(world, source, *products(3, second=2, weight=5))
    assert len(found(world)) == 1


@pytest.mark.parametrize("value", [{"amount": 3}, [3]])
def test_a_declared_key_of_another_kind_is_found_though_its_value_is_left_out(
    world: World, source: ScriptedSource, value: Any
) -> None:
    full(world, source, *products(3))
    full(world, source, *products(3, second=1, rate=value))
    assert found(world) == [("rate", "warning", "other kind", "product")]
    assert world.value("select count(*) from tds_findings where kind = 'unreadable_value'") == 3
    assert set(world.mirror("product", "price").values()) == {(None,)}


def test_numbers_as_text_and_empty_values_are_no_drift(world: World, source: ScriptedSource) -> None:
    full(world, source, *products(3, reorder_level=3))
    full(world, source, *products(3, second=1, rate="10.5", reorder_level="", sku=None))
    assert found(world) == []


def test_a_declared_key_that_no_row_has_any_more_is_found(world: World, source: ScriptedSource) -> None:
    full(world, source, *products(25, brand="Acme"))
    without = products(25, second=1)
    full(world, source, *without[1:], product(without[0]["item_id"], second=1, brand="Acme"))
    assert found(world) == []
    full(world, source, *products(25, second=2))
    assert found(world) == [("brand", "warning", "key gone", "product")]


def test_details_are_learned_for_a_day(world: World, source: ScriptedSource) -> None:
    source.pages = [ListPage([], has_more=False)]
    world.run("invoice", "full")
    source.records = {"1": invoice("1", colour="red")}
    world.enqueue("invoice", "1", must_read=True)
    world.drain("invoice")
    assert found(world) == []
    world.execute("update tds_known_keys set first_seen_at = now() - interval '2 days'")
    changed = invoice("1", second=1, weight=3)
    changed["line_items"][1]["shade"] = "dark"
    source.records = {"1": changed}
    world.enqueue("invoice", "1", must_read=True)
    world.drain("invoice")
    assert [row[0] for row in found(world)] == ["weight", "lines.shade"]


def test_what_is_known_costs_no_statement(world: World, source: ScriptedSource) -> None:
    source.records = {"1": product("1"), "2": product("2")}
    world.enqueue("product", "1", must_read=True)
    world.drain("product")
    said: list[str] = []

    def listen(_c: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        said.append(statement)

    engine = context._engine(context.getpid())
    event.listen(engine, "before_cursor_execute", listen)
    world.enqueue("product", "2", must_read=True)
    world.drain("product")
    assert world.row("product", "2")
    assert [each for each in said if "tds_known_keys" in each] == []


def test_what_is_taken_back_is_not_remembered(
    world: World, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    full(world, source, *products(3))
    source.pages = [page(*products(3, second=1, weight=3))]
    run_id = world.request_run("product", "full")
    with monkeypatch.context() as broken:
        broken.setattr("tds_core.sync.page_commit.ADVANCE_RUN", None)
        with pytest.raises(Exception, match="construct expected"):
            world.advance(run_id)
    assert found(world) == []
    world.execute("update tds_sync_runs set lease_token = null, leased_until = null")
    source.pages = [page(*products(3, second=1, weight=3))]
    world.advance(run_id)
    assert [subject for subject, *_ in found(world)] == ["weight"]


def test_the_stand_in_shows_nothing_its_first_pass_did_not(synced: World, standin: StandIn) -> None:
    for entity in ("product", "customer", "invoice"):
        synced.run(entity, "full")
    synced.execute("update tds_known_keys set first_seen_at = now() - interval '2 days'")
    for number, item in enumerate(standin.ids("items")[:10]):
        standin.edit("items", item, rate=100 + number)
    for entity in ("product", "customer", "invoice"):
        synced.run(entity, "incremental")
        synced.run(entity, "full")
    assert found(synced) == []
