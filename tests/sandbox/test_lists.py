"""Lists page, sort, filter and drift the way Zoho's do."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.sandbox.conftest import SMALL, Caller, TurnableClock
from zoho_sandbox.sandbox import Sandbox

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0300")


def test_a_page_holds_two_hundred_rows_at_most_and_says_whether_there_are_more(books: Caller) -> None:
    first = books.get("/items", per_page=500)
    assert len(first["items"]) == 200
    assert first["page_context"] == {
        "page": 1,
        "per_page": 200,
        "has_more_page": True,
        "report_name": "Items",
        "applied_filter": "Status.All",
        "sort_column": "name",
        "sort_order": "A",
    }
    last = books.get("/items", page=3)
    assert (len(last["items"]), last["page_context"]["has_more_page"]) == (50, False)
    beyond = books.get("/items", page=4)
    assert (beyond["items"], beyond["page_context"]["has_more_page"]) == ([], False)


@pytest.mark.parametrize("root", ["/books/v3", "/inventory/v1"])
@pytest.mark.parametrize(
    ("plural", "key"), [("items", "item_id"), ("contacts", "contact_id"), ("invoices", "invoice_id")]
)
def test_all_pages_together_hold_every_record_once_in_either_order(
    books: Caller, sandbox: Sandbox, root: str, plural: str, key: str
) -> None:
    books.root = root
    for column in ("created_time", "last_modified_time"):
        up = books.ids(plural, key, sort_column=column, sort_order="A", per_page=7)
        down = books.ids(plural, key, sort_column=column, sort_order="D", per_page=11)
        assert set(up) == set(sandbox.world.collections[plural].records)
        assert up == down[::-1]
        assert len(set(up)) == len(up)


def test_rows_are_sorted_by_the_column_asked_for(books: Caller) -> None:
    names = [row["name"].lower() for row in books.get("/items")["items"]]
    assert names == sorted(names)
    rates = [row["rate"] for row in books.get("/items", sort_column="rate", sort_order="D")["items"]]
    assert rates == sorted(rates, reverse=True)
    numbers = [row["invoice_number"] for row in books.get("/invoices", sort_column="invoice_number")["invoices"]]
    assert numbers == [f"INV-{number:06d}" for number in range(30, 0, -1)]


def test_last_modified_time_is_inclusive_and_understands_any_zone(books: Caller, sandbox: Sandbox) -> None:
    rows = books.get("/items", sort_column="last_modified_time")["items"]
    times = [row["last_modified_time"] for row in rows]
    assert times == sorted(times)
    middle = sandbox.clock.parse(times[100])
    expected = [r.id for r in sandbox.world.collections["items"].records.values() if r.modified >= middle]
    for zone in ("+0300", "+0000", "-0500"):
        other = type(sandbox.clock)(zone).stamp(middle)
        for column in ("last_modified_time", "name"):
            found = books.ids("items", "item_id", sort_column=column, last_modified_time=other)
            assert sorted(found) == sorted(expected)
    assert len(expected) == 350


def test_a_filter_zoho_does_not_know_is_no_filter(books: Caller) -> None:
    assert len(books.ids("items", "item_id", modified_time="2030-01-01T00:00:00+0300")) == 450


def test_an_order_zoho_does_not_know_is_the_usual_order(books: Caller) -> None:
    assert books.get("/items", sort_column="colour") == books.get("/items")
    newest = books.get("/creditnotes", sort_column="last_modified_time")
    assert newest["page_context"]["sort_column"] == "created_time"


def test_contacts_are_reported_apart_by_type_and_by_alias(books: Caller) -> None:
    assert len(books.ids("contacts", "contact_id", contact_type="vendor")) == 9
    customers = books.get("/customers")
    assert len(customers["contacts"]) == 60
    assert {row["contact_type"] for row in books.get("/vendors")["contacts"]} == {"vendor"}


def test_statuses_can_be_asked_for(books: Caller) -> None:
    active = books.ids("items", "item_id", filter_by="Status.Active")
    inactive = books.ids("items", "item_id", filter_by="Status.Inactive")
    assert len(inactive) > 0
    assert len(active) + len(inactive) == 450
    paid = books.get("/invoices", filter_by="Status.Paid")
    assert {row["status"] for row in paid["invoices"]} == {"paid"}
    assert paid["page_context"]["applied_filter"] == "Status.Paid"
    assert books.ids("invoices", "invoice_id", status="paid") == [row["invoice_id"] for row in paid["invoices"]]


def test_names_can_be_searched(books: Caller) -> None:
    some = books.get("/items")["items"][7]
    found = books.get("/items", name_contains=some["name"][:-1].upper())["items"]
    assert some["item_id"] in {row["item_id"] for row in found}
    assert books.get("/items", search_text="no such thing")["items"] == []
    assert books.get("/items", sku=some["sku"])["items"] == [some]


def test_invoices_can_be_counted_without_being_listed(books: Caller) -> None:
    counted = books.get("/invoices", response_option=2)
    assert (counted["invoices"], counted["page_context"]["total"]) == ([], 30)


def test_offset_pages_drift_when_a_record_moves_to_the_end(books: Caller, control: Callable[..., Any]) -> None:
    asked = {"sort_column": "last_modified_time", "per_page": 10}
    first = [row["item_id"] for row in books.get("/items", **asked)["items"]]
    eleventh = books.get("/items", page=2, **asked)["items"][0]["item_id"]
    control("POST", "/edit", {"module": "item", "action": "update", "id": first[0], "changes": {"rate": 1}})
    second = [row["item_id"] for row in books.get("/items", page=2, **asked)["items"]]
    assert eleventh not in second
    assert eleventh in [row["item_id"] for row in books.get("/items", page=1, **asked)["items"]]


def test_rows_are_trimmed_and_typed_as_on_the_wire(books: Caller) -> None:
    row = books.get("/invoices")["invoices"][0]
    full = books.get(f"/invoices/{row['invoice_id']}")["invoice"]
    assert "line_items" not in row
    assert full["line_items"]
    assert (row["total"], row["balance"], row["status"]) == (full["total"], full["balance"], full["status"])
    item = books.get("/items")["items"][0]
    assert "locations" not in item
    assert isinstance(item["rate"], float)
    assert item["upc"] == ""
    for record, key in ((row, "invoice_id"), (item, "item_id")):
        assert len(record[key]) == 19
        assert int(record[key]) > 2**53
        assert STAMP.fullmatch(record["last_modified_time"])


def test_stock_totals_are_the_sums_of_the_locations(books: Caller) -> None:
    for row in books.get("/items", product_type="", per_page=25)["items"]:
        item = books.get(f"/items/{row['item_id']}")["item"]
        if item["product_type"] == "service":
            assert "stock_on_hand" not in item
            continue
        for total, part in (
            ("stock_on_hand", "location_stock_on_hand"),
            ("available_stock", "location_available_stock"),
            ("actual_available_stock", "location_actual_available_stock"),
        ):
            assert row[total] == item[total] == sum(float(location[part]) for location in item["locations"])


def test_custom_fields_are_keys_in_lists_and_a_table_in_details(books: Caller) -> None:
    row = next(row for row in books.get("/items")["items"] if row.get("cf_origin"))
    item = books.get(f"/items/{row['item_id']}")["item"]
    assert item["custom_field_hash"]["cf_origin"] == row["cf_origin"]
    assert item["custom_fields"][0]["value"] == row["cf_origin"]
    assert "cf_origin" not in item


def test_item_details_come_by_the_hundred_and_leave_out_what_is_gone(inventory: Caller, books: Caller) -> None:
    ids = [row["item_id"] for row in inventory.get("/items", per_page=100)["items"]]
    body = inventory.get("/itemdetails", item_ids=",".join([*ids[:99], "123"]))
    assert [item["item_id"] for item in body["items"]] == ids[:99]
    assert body["items"][0] == inventory.get(f"/items/{ids[0]}")["item"]
    assert inventory("GET", "/itemdetails", item_ids=",".join([*ids, "123"])).status_code == 400
    assert books("GET", "/itemdetails", item_ids=ids[0]).json["code"] == 5


def test_the_same_seed_makes_the_same_organisation_and_another_does_not(sandbox: Sandbox) -> None:
    def dump(seed: int) -> list[bytes]:
        world = Sandbox(
            type(SMALL)(products=80, customers=9, vendors=3, invoices=8, as_of="2026-11-22", seed=seed)
        ).world
        return [line for held in world.collections.values() for line in held.details(held.records.values())]

    assert dump(3) == dump(3)
    assert dump(3) != dump(4)


def test_seeded_changes_are_spread_over_two_years(sandbox: Sandbox, turnable: TurnableClock) -> None:
    times = sorted(record.modified for record in sandbox.world.collections["items"].records.values())
    assert len(set(times)) > 440
    assert 600 * 86_400 < times[-1] - times[0] <= 730 * 86_400
    assert max(later - earlier for earlier, later in pairwise(times)) < 30 * 86_400
