"""Lists that misbehave: no row stops another, no order is believed unseen, no end that does not come is waited for."""

import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from tests.support.standin import StandIn, before_page
from tests.support.world import World
from zoho_sandbox.list_quirks import ListSwitches

LISTS = {
    "product": ("items", "/inventory/v1/items"),
    "customer": ("contacts", "/books/v3/contacts"),
    "invoice": ("invoices", "/books/v3/invoices"),
    "sales_order": ("salesorders", "/books/v3/salesorders"),
    "bill": ("bills", "/books/v3/bills"),
    "credit_note": ("creditnotes", "/books/v3/creditnotes"),
    "customer_payment": ("customerpayments", "/books/v3/customerpayments"),
    "price_list": ("pricebooks", "/inventory/v1/pricebooks"),
    "stock_adjustment": ("inventoryadjustments", "/inventory/v1/inventoryadjustments"),
    "user": ("users", "/books/v3/users"),
    "category": ("categories", "/inventory/v1/categories"),
}
PAGED_BY_TIME = ["product", "invoice", "bill", "credit_note", "customer_payment"]


def switch(standin: StandIn, entity: str, **switches: Any) -> None:
    standin.sandbox.world.pages[LISTS[entity][0]].switches = ListSwitches(**switches)


def more_of(standin: StandIn, entity: str, count: int = 24) -> None:
    """Let there be some pages of it, seeded long ago: copies of the first record under ids of their own."""
    world = standin.sandbox.world
    collection = world.collections[LISTS[entity][0]]
    first = next(iter(collection.records.values()))
    for number in range(count):
        copy = type(first)(world.new_id(), dict(first.state), first.created - number, first.modified - number)
        collection.replace(None, copy)


def living(world: World, entity: str) -> set[str]:
    return set(world.mirror(entity, "version"))


def findings(world: World, kind: str) -> list[dict[str, Any]]:
    return world.rows(
        "select entity, subject, severity, detail from tds_findings where kind = :kind and resolved_at is null",
        kind=kind,
    )


def still_open(world: World, kind: str) -> list[str]:
    rows = world.rows("select subject from tds_findings where kind = :kind and resolved_at is null", kind=kind)
    return [row["subject"] for row in rows]


def list_calls(standin: StandIn, entity: str) -> int:
    return sum(path == LISTS[entity][1] for path in standin.calls)


def spoilt(row: Mapping[str, Any], **changes: str) -> str:
    """The JSON of `row` with these values as they are spelled here; empty: the key is not there."""
    kept = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in row.items() if key not in changes]
    return "{" + ",".join([*kept, *(f'"{key}":{spelled}' for key, spelled in changes.items() if spelled)]) + "}"


def odd(standin: StandIn, entity: str, record_id: str, **changes: str) -> None:
    world, module = standin.sandbox.world, LISTS[entity][0]
    collection = world.collections[module]
    record = collection.records[record_id]
    row, detail = collection.shape.render_row(record), collection.shape.render_detail(record)
    world.make_odd(module, record_id, row=spoilt(row, **changes), detail=spoilt(detail, **changes))


#: What one row of an answer can hold that spoils it for all: a value that is left out, or one that costs the record.
UNREADABLE = {
    "half an emoji": {"notes_of_ours": r'"Cup \ud83d"'}, "NaN": {"notes_of_ours": "NaN"},
    "NUL": {"notes_of_ours": r'"a\u0000b"'}, "a date": {"last_modified_time": '"2026-11-21"'},
    "a worded time": {"last_modified_time": '"21 Nov 2026 09:00 AM"'}, "an epoch": {"last_modified_time": "1763712000"},
    "no UTF-8": {"notes_of_ours": '"\udcff"'}, "too deep": {"notes_of_ours": "[" * 3000 + "]" * 3000},
}  # fmt: skip
MENDED = {"half an emoji", "NaN", "NUL"}


@pytest.mark.parametrize("change", UNREADABLE)
@pytest.mark.parametrize("entity", ["product", "customer", "invoice"])
def test_a_row_that_cannot_be_read_stops_no_other(synced: World, standin: StandIn, entity: str, change: str) -> None:
    records = standin.sandbox.world.collections[LISTS[entity][0]].records
    ids = [key for key in records if entity != "customer" or records[key].state["contact_type"] == "customer"]
    bad = ids[len(ids) // 2]
    odd(standin, entity, bad, **UNREADABLE[change])
    dead = set() if change in MENDED else {bad}
    run = synced.run(entity, "full")
    assert (run["state"], living(synced, entity)) == ("completed", set(ids) - dead)
    letters = synced.rows("select source_id, error_class from tds_dead_letter_queue where resolved_at is null")
    assert letters == [{"source_id": each, "error_class": "validation"} for each in dead]
    assert synced.run(entity, "incremental")["state"] == "completed"
    assert synced.value("select count(*) from tds_dead_letter_queue") == len(dead)


@pytest.mark.parametrize("spelled", ["null", "9.108e3", "{}", ""], ids=["null", "a float", "an object", "none"])
@pytest.mark.parametrize("entity", ["product", "invoice", "price_list"])
def test_a_row_that_is_nobodys_is_a_finding_and_stops_no_other(
    synced: World, standin: StandIn, entity: str, spelled: str
) -> None:
    ids = list(standin.sandbox.world.collections[LISTS[entity][0]].records)
    id_key = standin.sandbox.world.collections[LISTS[entity][0]].shape.id_key
    odd(standin, entity, ids[0], **{id_key: spelled})
    run = synced.run(entity, "full")
    assert (run["state"], living(synced, entity)) == ("completed", set(ids[1:]))
    [found] = findings(synced, "unreadable_row")
    assert (found["entity"], found["severity"], id_key in found["subject"]) == (entity, "error", True)
    assert synced.run(entity, "incremental")["state"] == "completed"
    assert still_open(synced, "unreadable_row") == [found["subject"]]
    standin.sandbox.world.collections[LISTS[entity][0]].odd_rows.clear()
    synced.run(entity, "full")
    assert (living(synced, entity), still_open(synced, "unreadable_row")) == (set(ids), [])


@pytest.mark.parametrize("row", ["null", '"x"', "[]"])
def test_a_row_that_is_no_object_is_a_finding(synced: World, standin: StandIn, row: str) -> None:
    ids = standin.ids("items")
    standin.sandbox.world.make_odd("items", ids[7], row=row)
    assert synced.run("product", "full")["state"] == "completed"
    assert living(synced, "product") == set(ids) - {ids[7]}
    assert [found["subject"] for found in findings(synced, "unreadable_row")] == ["a row that is no object"]


@pytest.mark.parametrize("change", ["half an emoji", "NaN", "a date", "no UTF-8"])
def test_one_detail_that_cannot_be_read_costs_no_other_of_its_batch(
    synced: World, standin: StandIn, change: str
) -> None:
    ids = standin.ids("items")[:30]
    odd(standin, "product", ids[10], **UNREADABLE[change])
    synced.enqueue("product", *ids)
    synced.drain("product")
    dead = set() if change in MENDED else {ids[10]}
    assert living(synced, "product") == set(ids) - dead
    letters = synced.rows("select source_id, attempts from tds_dead_letter_queue")
    assert letters == [{"source_id": each, "attempts": 1} for each in dead]
    assert (synced.queue_depth("product"), len(standin.calls)) == (0, 2), "the token and one batch"


def test_two_rows_of_one_record_on_a_page_are_the_newer_one(synced: World, standin: StandIn) -> None:
    ids = standin.ids("items")
    collection = standin.sandbox.world.collections["items"]
    newer = collection.shape.render_row(collection.records[ids[3]])
    older = {**newer, "name": "older", "last_modified_time": "2020-01-01T00:00:00+0300"}
    standin.sandbox.world.make_odd("items", ids[3], row=f"{json.dumps(newer)},{json.dumps(older)}")
    switch(standin, "product", order="ignored")
    assert synced.run("product", "full")["state"] == "completed"
    assert synced.row("product", ids[3])["name"] == newer["name"]


@pytest.mark.parametrize("order", ["ignored", "refused"])
@pytest.mark.parametrize("entity", PAGED_BY_TIME)
def test_a_row_hidden_by_a_deletion_is_not_lost_where_a_list_has_no_order(
    synced: World, standin: StandIn, entity: str, order: str
) -> None:
    more_of(standin, entity)
    switch(standin, entity, order=order)
    collection = standin.sandbox.world.collections[LISTS[entity][0]]
    gone: list[str] = []

    def delete_from_page_one() -> None:
        entries = collection.view((), collection.shape.default_sort)
        gone.append(entries[-2][1] if collection.shape.default_order == "D" else entries[1][1])
        standin.delete(LISTS[entity][0], gone[0])

    before_page(standin, 3 if order == "refused" else 2, delete_from_page_one)
    run = synced.run(entity, "full")
    assert run["state"] == "completed"
    assert set(collection.records) <= living(synced, entity)
    assert "by page numbers, for it does not come in the order of changes" in run["end_reason"]
    synced.run(entity, "full")
    assert living(synced, entity) == set(collection.records)


@pytest.mark.parametrize("order", ["ignored", "refused"])
def test_that_a_list_has_no_order_is_remembered_until_the_finding_is_resolved(
    synced: World, standin: StandIn, order: str
) -> None:
    switch(standin, "invoice", order=order)
    asked: list[bool] = []

    def watch(path: str, query: Mapping[str, str]) -> None:
        if path == LISTS["invoice"][1]:
            asked.append("sort_column" in query)

    standin.before_call = watch
    assert synced.run("invoice", "full")["state"] == "completed"
    [found] = findings(synced, "list_order")
    assert (found["subject"], found["severity"]) == ("invoices", "note")
    assert asked[0] is True
    asked.clear()
    standin.edit("invoices", standin.ids("invoices")[5], reference_number="new")
    assert synced.run("invoice", "incremental")["outcomes"]["to_read"] == 1
    assert asked == [False]
    synced.execute("update tds_findings set resolved_at = now(), resolved_by = 'somebody'")
    switch(standin, "invoice")
    synced.run("invoice", "incremental")
    assert asked[1:] == [True]


def test_a_documented_order_that_is_not_obeyed_is_a_warning(synced: World, standin: StandIn) -> None:
    switch(standin, "product", order="ignored")
    synced.run("product", "full")
    assert living(synced, "product") == set(standin.ids("items"))
    assert [found["severity"] for found in findings(synced, "list_order")] == ["warning"]


def cursor(world: World, entity: str) -> datetime:
    return world.value("select modified_at from tds_sync_cursors where entity = :entity", entity=entity)


def in_one_second(standin: StandIn, module: str) -> str:
    """Let all records of a module be of one second."""
    collection = standin.sandbox.world.collections[module]
    second = max(record.modified for record in collection.records.values())
    stamp = standin.sandbox.clock.stamp(second)
    for record_id in list(collection.records):
        standin.sandbox.world.make_odd(module, record_id, modified_at=stamp)
    return stamp


@pytest.mark.parametrize("entity", ["product", "invoice"])
def test_a_second_of_many_pages_in_any_order_is_read_whole(synced: World, standin: StandIn, entity: str) -> None:
    module = LISTS[entity][0]
    second = in_one_second(standin, module)
    switch(standin, entity, ties="shuffled", order="obeyed")
    for _ in range(4):
        synced.run(entity, "incremental")
        if not findings(synced, "list_not_whole"):
            break
        assert cursor(synced, entity) < datetime.fromisoformat(second), "the next pass looks at the second again"
    assert living(synced, entity) == set(standin.sandbox.world.collections[module].records)
    assert not findings(synced, "list_not_whole")
    assert cursor(synced, entity) == datetime.fromisoformat(second)


def test_walks_through_a_second_that_never_rests_are_bounded_and_reported(
    synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = in_one_second(standin, "items")
    switch(standin, "product", ties="shuffled")
    monkeypatch.setattr("tds_core.sync.position.MOST_WALKS", 2)
    monkeypatch.setattr("tds_core.sync.list_anomalies.MOST_WALKS", 2)
    run = synced.run("product", "full")
    assert run["state"] == "completed"
    assert "was walked through 2 times and its rows still moved" in run["end_reason"]
    assert [found["subject"] for found in findings(synced, "list_not_whole")] == ["items"]
    assert cursor(synced, "product") < datetime.fromisoformat(second)
    assert list_calls(standin, "product") <= 2 * 6


def test_a_second_under_steady_edits_is_left_in_bounded_time(synced: World, standin: StandIn) -> None:
    in_one_second(standin, "items")
    ids = standin.ids("items")

    def edit(path: str, query: Mapping[str, str]) -> None:
        if path == LISTS["product"][1]:
            standin.edit("items", ids[len(standin.calls) % len(ids)], description=str(len(standin.calls)))

    standin.before_call = edit
    run = synced.run("product", "full", drains=False)
    assert run["state"] == "completed"
    assert list_calls(standin, "product") <= 8 * 6
    standin.before_call = lambda path, query: None
    synced.run("product", "incremental")
    assert living(synced, "product") == set(ids)


@pytest.mark.parametrize("entity", ["price_list", "stock_adjustment", "product", "customer_payment", "user"])
def test_a_list_that_does_not_say_whether_more_follows_is_read_to_its_end(
    synced: World, standin: StandIn, entity: str
) -> None:
    more_of(standin, entity)
    switch(standin, entity, page_context=False)
    module = LISTS[entity][0]
    assert synced.run(entity, "full")["state"] == "completed"
    assert living(synced, entity) == set(standin.sandbox.world.collections[module].records)
    gone = next(iter(standin.sandbox.world.collections[module].records))
    standin.delete(module, gone)
    run = synced.run(entity, "full")
    assert (run["state"], run["outcomes"]["absent"]) == ("completed", 1)
    assert living(synced, entity) == set(standin.sandbox.world.collections[module].records)


@pytest.mark.parametrize("endless", ["empty", "repeated"])
@pytest.mark.parametrize("mode", ["full", "incremental"])
@pytest.mark.parametrize("entity", ["product", "price_list", "bill", "stock_adjustment"])
def test_a_list_that_promises_more_for_ever_is_left_and_reported(
    synced: World, standin: StandIn, entity: str, mode: str, endless: str
) -> None:
    module = LISTS[entity][0]
    more_of(standin, entity)
    synced.run(entity, "full")
    standin.calls.clear()
    switch(standin, entity, endless=endless)
    records = standin.sandbox.world.collections[module].records
    standin.delete(module, next(iter(records)))
    run = synced.run(entity, mode)
    assert run["state"] == "completed"
    assert "it promises more, but the last" in run["end_reason"]
    assert list_calls(standin, entity) <= 3 + -(-len(records) // 10) + 3
    assert [found["entity"] for found in findings(synced, "list_not_whole")] == [entity]
    assert len(living(synced, entity)) == len(records) + 1, "such a list is no reason to take anything for gone"
    switch(standin, entity)
    assert synced.run(entity, "full")["outcomes"]["absent"] == 1
    assert not findings(synced, "list_not_whole")
    assert living(synced, entity) == set(records)


@pytest.mark.parametrize("trouble", ["endless", "broken page"])
def test_beside_a_list_in_trouble_webhooks_keep_their_latency(synced: World, standin: StandIn, trouble: str) -> None:
    if trouble == "endless":
        switch(standin, "bill", endless="empty")
    else:
        for record_id in standin.ids("bills"):
            standin.sandbox.world.make_odd("bills", record_id, row=r'{"bill_id":"1","notes":"\ud83d"},null')
    run_id = synced.request_run("bill", "full")
    synced.advance(run_id)
    ids = standin.ids("items")[:20]
    began = time.monotonic()
    synced.enqueue("product", *ids)
    synced.drain("product")
    assert living(synced, "product") == set(ids)
    assert time.monotonic() - began < 2
    assert synced.run_row(run_id)["state"] == "completed"
    assert synced.value("select count(*) from tds_source_tokens where paused_until is not null") == 0


@pytest.mark.parametrize(
    ("entity", "key", "name"), [("user", "email", "email"), ("category", "description", "description")]
)
def test_a_value_that_lists_alone_show_is_cleared_where_they_leave_its_key_out(
    synced: World, standin: StandIn, entity: str, key: str, name: str
) -> None:
    first, other = list(standin.sandbox.world.collections[LISTS[entity][0]].records)[:2]
    for each in (first, other):
        odd(standin, entity, each, **{key: '"said before"'})
    synced.run(entity, "full")
    odd(standin, entity, first, **{key: ""})
    synced.run(entity, "full")
    said = {each: synced.row(entity, each)[name] for each in (first, other)}
    assert said == {first: None, other: "said before"}
    version = synced.row(entity, first)["version"]
    synced.run(entity, "full")
    assert synced.row(entity, first)["version"] == version
