"""Values promise: one meaning has one spelling, so that spelling alone makes no version; numbers stay numbers."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tds_core.invariants.verify import verify
from tds_core.subscriptions import delivery_queue
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.support.standin import StandIn
from tests.support.world import ScriptedSource, World, invoice, product

ID = "460000000000001"
BRACKETS = [{"start_quantity": 1, "end_quantity": 9.5, "pricebook_rate": msgspec.Raw(b"8.10")}]


def price_list(**more: Any) -> dict[str, Any]:
    return {"pricebook_id": ID, "name": "Wholesale", "pricebook_items": [{"pricebook_item_id": "1", **more}]}


def read(world: World, source: ScriptedSource, entity: str, record: dict[str, Any]) -> dict[str, Any]:
    """Read the record from the source. Returns its row."""
    source_id = str(record[ENTITIES[entity].stream.id_key])
    source.records = {source_id: record}
    world.enqueue(entity, source_id, must_read=True)
    world.drain(entity)
    return world.row(entity, source_id)


def test_nested_numbers_stay_numbers_and_make_no_version(world: World, source: ScriptedSource) -> None:
    for spelled in (b"8.10", b"8.1", b"8.100", b"81e-1"):
        again = [{**BRACKETS[0], "pricebook_rate": msgspec.Raw(spelled)}]
        assert read(world, source, "price_list", price_list(price_brackets=again))["version"] == 1
    told = (
        "select jsonb_typeof({0} -> 0 -> 'pricebook_rate') as kind, {0} -> 0 ->> 'pricebook_rate' as spelled from {1}"
    )
    kept = world.one(told.format("brackets", "erp.price_list_price"))
    history = world.one(told.format("(changes -> 'prices' -> 1 -> 0 -> 'brackets')", "tds_audit_trail"))
    assert kept == history == {"kind": "number", "spelled": "8.10"}
    [entry] = world.rows("select changes::text as changes from tds_audit_trail")
    sent = msgspec.json.encode(delivery_queue._changes(entry["changes"]))
    assert b'"pricebook_rate": 8.10' in sent


def test_a_nested_number_that_changes_is_one_version(world: World, source: ScriptedSource) -> None:
    read(world, source, "price_list", price_list(price_brackets=BRACKETS))
    changed = [{**BRACKETS[0], "pricebook_rate": msgspec.Raw(b"8.11")}]
    assert read(world, source, "price_list", price_list(price_brackets=changed))["version"] == 2


def test_own_fields_are_reached_by_one_spelling_whatever_their_shape(world: World, source: ScriptedSource) -> None:
    own = {
        "cf_text": "x", "cf_amount": "IQD 1,250.500", "cf_amount_unformatted": msgspec.Raw(b"1250.500"), "cf_ok": True,
        "cf_many": "a, b", "cf_many_unformatted": ["a", "b"], "cf_who": "ACME", "cf_who_unformatted": {"id": "1"},
        "cf_none": "", "cf_blank": " ",
    }  # fmt: skip
    read(world, source, "product", product(custom_field_hash=own))
    found = world.one("""
        select custom_fields ->> 'cf_text' as text, custom_fields ->> 'cf_amount' as amount,
            (custom_fields ->> 'cf_ok')::boolean as ok, custom_fields -> 'cf_many' as many,
            custom_fields -> 'cf_who' ->> 'id' as who, custom_fields ->> 'cf_none' as none,
            custom_fields ->> 'cf_blank' as blank from erp.product""")
    assert found == {
        "text": "x", "amount": "1250.500", "ok": True, "many": ["a", "b"], "who": "1", "none": None, "blank": None,
    }  # fmt: skip


@pytest.mark.parametrize("entity", ["product", "invoice", "customer"])
def test_own_fields_listed_one_by_one_are_kept_as_well(world: World, source: ScriptedSource, entity: str) -> None:
    stream = ENTITIES[entity].stream
    listed = [{"api_name": "cf_x", "label": "X", "value": 7}, {"label": "Counted by", "value": "Ali"}]
    record = {stream.id_key: ID, "custom_fields": listed, "last_modified_time": "2026-11-01T12:00:00+0000"}
    assert read(world, source, entity, record)["custom_fields"] == {"cf_x": 7, "cf_counted_by": "Ali"}


@pytest.mark.parametrize(("before", "after"), [("", None), (None, ""), (" ", ""), ("", "\t"), (None, "  ")])
def test_spellings_of_nothing_make_no_version(world: World, source: ScriptedSource, before: Any, after: Any) -> None:
    keys = [field.key for field in ENTITIES["invoice"].fields if field.key != "custom_field_hash"]
    line_keys = [field.key for field in ENTITIES["invoice"].lines[0].fields]
    for nothing in (before, after):
        own = {"cf_x": nothing, "cf_y": "y"}
        lines = [{"line_item_id": nothing, **dict.fromkeys(line_keys, nothing)}]
        record = {**invoice(ID), **dict.fromkeys(keys, nothing), "line_items": lines, "custom_field_hash": own}
        assert read(world, source, "invoice", record)["version"] == 1
    kept = world.one("select number, status, total, notes, custom_fields from erp.invoice")
    assert list(kept.values()) == [None, None, None, None, {"cf_y": "y"}]
    assert set(world.one("select line_id, sku, name, discount, rate from erp.invoice_line").values()) == {None}


@pytest.mark.parametrize("spelled", [b"10.0", b"10.00", b'"10"', b'"10.0"', b"1e1"])
def test_spellings_of_one_discount_make_no_version(world: World, source: ScriptedSource, spelled: bytes) -> None:
    for discount in (b"10", spelled):
        lines = [{"line_item_id": "1", "discount": msgspec.Raw(discount)}]
        assert read(world, source, "invoice", invoice(ID, line_items=lines))["version"] == 1
    assert world.value("select discount from erp.invoice_line") == "10"


def test_a_history_that_says_empty_replays_to_a_row_that_says_null(world: World, source: ScriptedSource) -> None:
    read(world, source, "product", product(description="x", custom_field_hash={"cf_x": "1"}))
    read(world, source, "invoice", invoice(ID))
    # As before empty text was null: the history says it was set to "", the row has become null since.
    world.execute("alter table tds_audit_trail disable trigger user")
    world.execute("""update tds_audit_trail set changes = changes || '{"unit": [null, ""], "brand": [null, " "],
        "custom_fields": [null, {"cf_x": "1", "cf_y": ""}]}' where entity = 'product'""")
    world.execute("""update tds_audit_trail set changes = jsonb_set(changes, '{lines,1,0,sku}', '""')
        where entity = 'invoice'""")
    with session_scope(world.engine) as session:
        found = [finding for finding in verify(session) if finding.violation_count]
    assert found == []
    world.execute("""update tds_audit_trail set changes = changes || '{"unit": [null, "pcs"]}'
        where entity = 'product'""")
    with session_scope(world.engine) as session:
        assert [each.name for each in verify(session) if each.violation_count] == ["product_equals_its_replay"]


def test_negative_prices_and_missing_numbers_stand_as_they_are(world: World, source: ScriptedSource) -> None:
    assert read(world, source, "product", product(rate=-5))["price"] == -5
    bill = {"bill_id": ID, "bill_number": "", "vendor_id": "1", "date": "2026-11-01", "status": "draft", "total": 1}
    bill |= {"line_items": None}
    row = read(world, source, "bill", {**bill, "last_modified_time": "2026-11-01T12:00:00+0000"})
    assert (row["number"], row["status"], row["total"]) == (None, "draft", Decimal(1))
    found = world.rows("select kind, severity, subject from tds_findings order by id")
    assert [tuple(each.values()) for each in found] == [
        ("doubted_value", "error", f"{ID} rate"),
        ("doubted_value", "warning", f"{ID} bill_number"),
    ]
    read(world, source, "product", product(second=1, rate=5))
    read(world, source, "bill", {**bill, "bill_number": "B", "last_modified_time": "2026-11-01T12:00:01+0000"})
    assert world.rows("select distinct resolved_by from tds_findings") == [{"resolved_by": "sync"}]


def test_a_finding_names_record_field_value_and_reason_and_nothing_personal(
    world: World, source: ScriptedSource
) -> None:
    record = {
        "contact_id": ID, "contact_name": "A", "contact_type": "customer", "email": ["me@example.com"],
        "payment_terms": "Net 30", "last_modified_time": "2026-11-01T12:00:00+0000",
        "custom_field_hash": {"cf_phone": msgspec.Raw(b"7e80"), "cf_ok": "yes"},
    }  # fmt: skip
    row = read(world, source, "customer", record)
    assert (row["name"], row["email"], row["payment_terms"], row["custom_fields"]) == (
        "A",
        None,
        None,
        {"cf_ok": "yes"},
    )
    found = {each["detail"]["field"]: each["detail"] for each in world.rows("select detail from tds_findings")}
    assert found.keys() == {"email", "payment_terms", "custom_fields"}
    assert "me@example" not in json.dumps(found)
    assert found["payment_terms"] == {
        "source_id": ID, "field": "payment_terms", "key": "payment_terms", "place": "payment_terms", "value": "Net 30",
        "reason": "expected a number, got 'Net 30'",
    }  # fmt: skip
    assert found["custom_fields"]["reason"] == "cf_phone: number out of range"


def test_many_lines_with_one_fault_are_one_finding(world: World, source: ScriptedSource) -> None:
    lines = [{"line_item_id": str(n), "rate": "9,99", "quantity": n} for n in range(30)]
    read(world, source, "invoice", invoice(ID, line_items=lines))
    found = world.one("select subject, detail from tds_findings")
    assert (found["subject"], found["detail"]["place"]) == (f"{ID} line_items.rate", "line_items[0].rate")
    assert world.value("select sum(quantity) from erp.invoice_line") == sum(range(30))
    read(world, source, "invoice", invoice(ID, second=1))
    assert world.value("select count(*) from tds_findings where resolved_at is null") == 0


@pytest.mark.parametrize("entity", ["stock_adjustment", "product", "bill"])
def test_details_that_only_list_own_fields_bring_the_same(synced: World, standin: StandIn, entity: str) -> None:
    synced.run(entity, "full")
    named = synced.mirror(entity, "custom_fields, version")
    assert any(own for own, _ in named.values())
    standin.sandbox.world.organization.has_custom_field_hash = False
    for record in standin.sandbox.world.collections[ENTITIES[entity].stream.path].records.values():
        record.detail = record.row = None  # to be made anew
    synced.enqueue(entity, *named, must_read=True)
    synced.drain(entity)
    assert synced.mirror(entity, "custom_fields, version") == named
