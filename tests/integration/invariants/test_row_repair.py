"""A row that was taken away by hand comes back with its history, which says so; what was edited by hand is mended."""

import json
from typing import Any

import pytest

from tds_core.invariants import verify
from tds_models.db import session_scope
from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.world import ScriptedSource, World, delivery, invoice, product

MODULES = {"product": "items", "customer": "contacts", "invoice": "invoices", "price_list": "pricebooks"}


def broken_promises(world: World) -> list[str]:
    with session_scope(world.engine) as session:
        return [f"{each.name}: {each.examples}" for each in verify.verify(session) if each.violation_count]


def standing(world: World, entity: str) -> dict[str, Any]:
    left_out = "created_at,changed_at,confirmed_at,lines_confirmed_at,version,list_hash,source_record"
    rows = world.rows(f"select source_id, to_jsonb(t) - cast(string_to_array(:left_out, ',') as text[]) as row"
                      f" from erp.{entity} t", left_out=left_out)  # fmt: skip
    return {row["source_id"]: row["row"] for row in rows}


@pytest.mark.parametrize("entity", MODULES)
def test_a_table_that_was_emptied_is_loaded_again(synced: World, standin: StandIn, entity: str) -> None:
    synced.run(entity, "full")
    synced.run(entity, "full")
    before = standing(synced, entity)
    synced.execute(f"delete from erp.{entity}")
    assert broken_promises(synced) != []
    run = synced.run(entity, "full")
    assert (run["state"], run["outcomes"]["created"]) == ("completed", len(before))
    assert standing(synced, entity) == before
    assert synced.value("select count(*) from tds_dead_letter_queue") == 0
    lives = synced.rows("select source_id, array_agg(operation order by version) as lives,"
                        " array_agg(version order by version) as versions from tds_audit_trail"
                        " where entity = :entity group by source_id", entity=entity)  # fmt: skip
    for life in lives:
        assert life["versions"] == list(range(1, len(life["lives"]) + 1))
        assert life["lives"].count("created") == life["lives"].count("repaired") == 1
    assert broken_promises(synced) == []


@pytest.mark.parametrize(("entity", "module"), [
    ("product", "items"), ("sales_order", "salesorders"), ("vendor", "contacts"), ("invoice", "invoices"),
])  # fmt: skip
def test_what_verify_finds_of_a_table_that_was_emptied_names_the_command_that_mends_it(
    synced: World, standin: StandIn, tds: CommandLine, entity: str, module: str
) -> None:
    synced.run(entity, "full")
    synced.drain(entity)
    gone, *_ = before = standing(synced, entity)
    standin.delete(module, gone)
    synced.run(entity, "full")
    assert synced.row(entity, gone)["deleted_at"] is not None
    synced.execute(f"delete from erp.{entity}")
    with session_scope(synced.engine) as session:
        looks = {case.look for each in verify.verify(session) for case in each.examples}
    assert {f"tds repair {entity}" in each for each in looks} == {True}
    synced.run(entity, "full")
    repaired(synced, tds, entity)
    assert (set(standing(synced, entity)), broken_promises(synced)) == (set(before), [])
    assert synced.row(entity, gone)["deleted_at"] is not None
    assert repaired(synced, tds, entity)["run_ids"] == []


@pytest.mark.parametrize("entity", ["product", "invoice"])
def test_some_rows_that_were_taken_away_come_back_beside_new_ones(synced: World, standin: StandIn, entity: str) -> None:
    synced.run(entity, "full")
    before = standing(synced, entity)
    synced.execute(f"delete from erp.{entity} where source_id in (select source_id from erp.{entity} limit 3)")
    assert synced.run(entity, "full")["outcomes"]["created"] == 3
    assert standing(synced, entity) == before
    assert broken_promises(synced) == []


@pytest.mark.parametrize("record", [product(), invoice()], ids=["product", "invoice"])
def test_a_webhook_brings_a_row_back_that_was_taken_away(
    world: World, source: ScriptedSource, record: dict[str, Any]
) -> None:
    entity = "product" if "item_id" in record else "invoice"
    source_id = record["item_id" if entity == "product" else "invoice_id"]
    key = "description" if entity == "product" else "notes"
    world.know(entity, record)
    source.records[source_id] = record
    world.deliver(delivery(entity, {**record, key: "once"}))
    world.drain(entity)
    world.execute(f"delete from erp.{entity}")
    later = {**record, "status": "inactive", "last_modified_time": "2026-11-02T00:00:00+00:00"}
    source.records[source_id] = later
    world.deliver(delivery(entity, later))
    world.drain(entity)
    row = world.row(entity, source_id)
    assert (row["version"], row["status"], row[key]) == (2, "inactive", None)
    assert [each["operation"] for each in world.audit(entity, source_id)] == ["created", "repaired"]
    assert world.verdicts() == ["applied", "applied"]
    assert broken_promises(world) == []


@pytest.fixture
def tds(synced: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def repaired(world: World, tds: CommandLine, entity: str) -> dict[str, Any]:
    [found] = json.loads(tds("repair", entity, "--json").out)
    for run_id in found["run_ids"]:
        world.advance(int(run_id))
    world.drain(entity)
    return found


@pytest.mark.parametrize(("entity", "harm"), [
    ("product", "update erp.product set price = price + 1 where source_id = :id"),
    ("product", "delete from erp.product where source_id = :id"),
    ("invoice", "update erp.invoice set total = 0, notes = 'by hand' where source_id = :id"),
    ("invoice", "delete from erp.invoice_line where parent_id = :id"),
    ("invoice", "update erp.invoice_line set quantity = 99 where parent_id = :id"),
    ("price_list", "delete from erp.price_list_price where parent_id = :id"),
])  # fmt: skip
def test_what_was_changed_by_hand_is_found_and_mended(
    synced: World, standin: StandIn, tds: CommandLine, entity: str, harm: str
) -> None:
    synced.run(entity, "full")
    synced.run(entity, "full")
    before = standing(synced, entity)
    synced.execute(harm, id=next(iter(before)))
    assert broken_promises(synced) != []
    found = repaired(synced, tds, entity)
    assert found["missing_count"] + found["differing_count"] == 1
    assert (standing(synced, entity), broken_promises(synced)) == (before, [])
    assert repaired(synced, tds, entity)["run_ids"] == []
    assert synced.value("select count(*) from tds_operator_actions where operation = 'cli.repair'") == 2


def test_a_table_that_was_emptied_is_repaired(
    synced: World, standin: StandIn, tds: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tds_core.invariants.row_repair.MOST_READ_SINGLY", 10)
    synced.run("invoice", "full")
    before = standing(synced, "invoice")
    synced.execute("truncate erp.invoice cascade")
    assert repaired(synced, tds, "invoice")["missing_count"] == len(before)
    assert (standing(synced, "invoice"), broken_promises(synced)) == (before, [])


@pytest.mark.parametrize("case", [("product", 0), ("invoice", 100)])
def test_tombstones_that_were_taken_away_come_back_as_tombstones(
    synced: World, standin: StandIn, tds: CommandLine, monkeypatch: pytest.MonkeyPatch, case: tuple[str, int]
) -> None:
    entity, most_singly = case
    monkeypatch.setattr("tds_core.invariants.row_repair.MOST_READ_SINGLY", most_singly)
    synced.run(entity, "full")
    gone = standin.ids(MODULES[entity])[1]
    standin.delete(MODULES[entity], gone)
    synced.run(entity, "full")
    assert synced.row(entity, gone)["deleted_at"] is not None
    synced.execute(f"delete from erp.{entity}")
    repaired(synced, tds, entity)
    assert synced.row(entity, gone)["deleted_at"] is not None
    assert broken_promises(synced) == []
    assert repaired(synced, tds, entity)["run_ids"] == []
