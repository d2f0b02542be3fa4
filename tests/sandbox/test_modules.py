"""Every module is served where and as Zoho serves it: keys, trimmed rows, whole details, filters, webhooks."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.sandbox.conftest import SMALL, Caller, Listener
from zoho_sandbox.sandbox import Sandbox

Control = Callable[..., Any]
# Path, key of the list, key of the detail, key of the id, what only the detail has.
MODULES = [
    ("items", "items", "item", "item_id", "locations"),
    ("contacts", "contacts", "contact", "contact_id", "billing_address"),
    ("salesorders", "salesorders", "salesorder", "salesorder_id", "line_items"),
    ("invoices", "invoices", "invoice", "invoice_id", "line_items"),
    ("customerpayments", "customerpayments", "payment", "payment_id", "invoices"),
    ("bills", "bills", "bill", "bill_id", "line_items"),
    ("creditnotes", "creditnotes", "creditnote", "creditnote_id", "line_items"),
    ("inventoryadjustments", "inventory_adjustments", "inventory_adjustment", "inventory_adjustment_id", "line_items"),
    ("pricebooks", "pricebooks", "pricebook", "pricebook_id", "pricebook_items"),
    ("users", "users", "user", "user_id", "email_ids"),
    ("settings/taxes", "taxes", "tax", "tax_id", "country"),
]
INVENTORY_ONLY = {"inventoryadjustments", "pricebooks"}
TIMELESS = {"pricebooks", "users"}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module[0])
def test_rows_are_trimmed_details_whole_and_both_agree(inventory: Caller, module: tuple[str, ...]) -> None:
    path, plural, singular, id_key, only_detail = module
    rows = inventory.get(f"/{path}")[plural]
    assert rows
    for row in rows[:10]:
        detail = inventory.get(f"/{path}/{row[id_key]}")[singular]
        assert only_detail in detail
        assert only_detail not in row
        both = row.keys() & detail.keys() - {"custom_fields"}
        assert {key: row[key] for key in both} == {key: detail[key] for key in both}
        assert ("last_modified_time" in row) == (path not in TIMELESS)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module[0])
def test_the_dump_is_all_there_is_as_details_show_it_under_the_products_that_know_the_module(
    books: Caller, inventory: Caller, sandbox: Sandbox, module: tuple[str, ...]
) -> None:
    path, _plural, singular, id_key, _ = module
    name = path.removeprefix("settings/")
    dumped = [msgspec.json.decode(line) for line in books.client.get(f"/_control/dump/{name}").data.splitlines()]
    assert {record[id_key] for record in dumped} == set(sandbox.world.collections[name].records)
    assert inventory.get(f"/{path}/{dumped[0][id_key]}")[singular].items() <= dumped[0].items()
    assert books("GET", f"/{path}").status_code == (404 if path in INVENTORY_ONLY else 200)


def test_the_time_filter_works_where_it_is_known_to_and_is_nothing_elsewhere(
    books: Caller, inventory: Caller, control: Control
) -> None:
    never = {"last_modified_time": "2031-01-01T00:00:00+0300"}
    heeded = {
        (caller.root, path)
        for caller in (books, inventory)
        for path, plural, *_ in MODULES
        if not (caller is books and path in INVENTORY_ONLY)
        if not caller.get(f"/{path}", **never)[plural]
    }
    known = ("items", "contacts", "salesorders", "invoices", "customerpayments", "bills", "creditnotes")
    assert heeded == {("/books/v3", path) for path in known} | {("/inventory/v1", "items")}
    control("POST", "/limits", {"undocumented_filters": True})
    assert inventory.get("/bills", **never)["bills"] == []
    assert inventory.get("/pricebooks", **never)["pricebooks"]


def test_custom_fields_are_keys_of_rows_and_a_table_in_details(inventory: Caller) -> None:
    for path, plural, singular, id_key, _ in MODULES[2:8]:
        rows = inventory.get(f"/{path}")[plural]
        row = next(row for row in rows if any(key.startswith("cf_") for key in row))
        [key] = [key for key in row if key.startswith("cf_") and not key.endswith("_unformatted")]
        detail = inventory.get(f"/{path}/{row[id_key]}")[singular]
        assert detail["custom_field_hash"][key] == row[key] == detail["custom_fields"][0]["value"]
        assert key not in detail


def test_documents_can_be_listed_by_date_and_by_what_became_of_them(books: Caller) -> None:
    orders = books.get("/salesorders", sort_column="date", sort_order="A")["salesorders"]
    middle = orders[20]["date"]
    for bound, holds in (
        ("date_start", lambda day: day >= middle),
        ("date_end", lambda day: day <= middle),
        ("date_before", lambda day: day < middle),
        ("date_after", lambda day: day > middle),
    ):
        found = books.ids("salesorders", "salesorder_id", **{bound: middle})
        assert set(found) == {row["salesorder_id"] for row in orders if holds(row["date"])}
    invoiced = books.get("/salesorders", filter_by="Status.Invoiced")["salesorders"]
    assert {row["invoiced_status"] for row in invoiced} == {"invoiced"}
    paid = books.get("/customerpayments", filter_by="PaymentMode.Cash")["customerpayments"]
    assert {row["payment_mode"] for row in paid} == {"cash"}


def test_price_lists_hold_the_prices_asked_for_and_all_but_one_are_by_item(inventory: Caller) -> None:
    rows = inventory.get("/pricebooks")["pricebooks"]
    details = [inventory.get(f"/pricebooks/{row['pricebook_id']}")["pricebook"] for row in rows]
    assert sum(len(detail["pricebook_items"]) for detail in details) == 100
    assert sorted(detail["pricebook_type"] for detail in details) == ["fixed_percentage", "per_item", "per_item"]


def test_the_caller_is_a_user(inventory: Caller) -> None:
    me = inventory.get("/users/me")["user"]
    [mine] = [row for row in inventory.get("/users")["users"] if row["is_current_user"]]
    assert (me["user_id"], mine["user_role"]) == (mine["user_id"], "admin")
    assert inventory("DELETE", f"/users/{me['user_id']}").status_code == 400


def some_stocked(inventory: Caller, sandbox: Sandbox) -> dict[str, Any]:
    items = sandbox.world.collections["items"].records.values()
    record = next(item for item in items if min(item.state.get("stocks", [0])) > 5)
    return dict(inventory.get(f"/items/{record.id}")["item"])


def at(item: dict[str, Any], place: int, name: str = "location_stock_on_hand") -> float:
    return float(item["locations"][place][name])


def test_an_order_commits_stock_and_takes_it_when_shipped(
    inventory: Caller, sandbox: Sandbox, control: Control
) -> None:
    item = some_stocked(inventory, sandbox)
    customer = inventory.get("/customers")["contacts"][0]["contact_id"]
    line = {"item_id": item["item_id"], "quantity": 3, "location_id": item["locations"][1]["location_id"]}
    order = inventory("POST", "/salesorders", {"customer_id": customer, "line_items": [line]}).json["salesorder"]
    path = f"/salesorders/{order['salesorder_id']}"
    assert (order["status"], inventory.get(f"/items/{item['item_id']}")["item"]) == ("draft", item)
    inventory("POST", f"{path}/status/confirmed")
    waiting = inventory.get(f"/items/{item['item_id']}")["item"]
    assert at(waiting, 1) == at(item, 1)
    assert at(waiting, 1, "location_actual_available_stock") == at(item, 1, "location_actual_available_stock") - 3
    sent = [{"line_item_id": order["line_items"][0]["line_item_id"], "quantity_shipped": 3}]
    asked = {"module": "salesorder", "action": "update", "id": order["salesorder_id"]}
    shipped = control("POST", "/edit", asked | {"changes": {"line_items": sent, "status": "closed"}})
    assert (shipped["shipped_status"], shipped["order_status"]) == ("fulfilled", "closed")
    gone = inventory.get(f"/items/{item['item_id']}")["item"]
    assert (at(gone, 1), gone["stock_on_hand"]) == (at(item, 1) - 3, item["stock_on_hand"] - 3)
    assert gone["actual_available_stock"] == item["actual_available_stock"] - 3
    assert inventory("DELETE", path).status_code == 400


def test_bills_credits_and_adjustments_move_stock_and_undoing_them_takes_it_back(
    inventory: Caller, sandbox: Sandbox
) -> None:
    item = some_stocked(inventory, sandbox)
    customer = inventory.get("/customers")["contacts"][0]["contact_id"]
    vendor = inventory.get("/vendors")["contacts"][0]["contact_id"]
    line = {"item_id": item["item_id"], "quantity": 4}
    returned = line | {"is_returned_to_stock": True}
    counted = {"item_id": item["item_id"], "quantity_adjusted": -2}
    for path, singular, body, moved in (
        ("bills", "bill", {"vendor_id": vendor, "line_items": [line]}, 4),
        ("creditnotes", "creditnote", {"customer_id": customer, "line_items": [returned]}, 4),
        ("inventoryadjustments", "inventory_adjustment", {"line_items": [counted]}, -2),
    ):
        made = inventory("POST", f"/{path}", body)
        assert made.status_code == 201, made.text
        now = inventory.get(f"/items/{item['item_id']}")["item"]
        assert (now["stock_on_hand"], at(now, 0)) == (item["stock_on_hand"] + moved, at(item, 0) + moved)
        made_id = made.json[singular][f"{singular}_id"]
        assert inventory("DELETE", f"/{path}/{made_id}").status_code == 200
        back = inventory.get(f"/items/{item['item_id']}")["item"]
        assert back["locations"] == item["locations"]


def test_a_transfer_changes_locations_only(inventory: Caller, sandbox: Sandbox, control: Control) -> None:
    item = some_stocked(inventory, sandbox)
    first, second = (place["location_id"] for place in item["locations"][:2])
    asked = {"module": "item", "action": "update", "id": item["item_id"]}
    moved = control("POST", "/edit", asked | {"changes": {"transfer": {"from": first, "to": second, "quantity": 5}}})
    assert (at(moved, 0), at(moved, 1)) == (at(item, 0) - 5, at(item, 1) + 5)
    assert moved["stock_on_hand"] == item["stock_on_hand"]
    [row] = inventory.get("/items", sku=item["sku"], location_id=second)["items"]
    assert row["stock_on_hand"] == at(moved, 1)
    [row] = inventory.get("/items", sku=item["sku"])["items"]
    assert row["stock_on_hand"] == moved["stock_on_hand"]


def test_a_credit_note_set_against_an_invoice_pays_a_part_of_it(inventory: Caller, sandbox: Sandbox) -> None:
    invoice = next(row for row in inventory.get("/invoices")["invoices"] if row["status"] in {"sent", "overdue"})
    item = some_stocked(inventory, sandbox)
    body = {
        "customer_id": invoice["customer_id"],
        "line_items": [{"item_id": item["item_id"], "rate": 1, "quantity": 1}],
    }
    credit = inventory("POST", "/creditnotes", body).json["creditnote"]
    applied = {"invoices": [{"invoice_id": invoice["invoice_id"], "amount_applied": 0.5}]}
    assert inventory("POST", f"/creditnotes/{credit['creditnote_id']}/invoices", applied).status_code == 200
    now = inventory.get(f"/invoices/{invoice['invoice_id']}")["invoice"]
    assert (now["credits_applied"], now["status"]) == (0.5, "partially_paid")
    assert now["balance"] == round(invoice["balance"] - 0.5, 2)
    after = inventory.get(f"/creditnotes/{credit['creditnote_id']}")["creditnote"]
    assert after["balance"] == round(credit["total"] - 0.5, 2)
    assert inventory("DELETE", f"/creditnotes/{credit['creditnote_id']}").status_code == 400
    assert inventory("DELETE", f"/invoices/{invoice['invoice_id']}").status_code == 400


def test_an_item_that_is_deleted_leaves_the_price_lists(inventory: Caller) -> None:
    made = inventory("POST", "/items", {"name": "Listed", "rate": 3}).json["item"]
    prices = [{"item_id": made["item_id"], "pricebook_rate": 2.5}]
    listed = inventory("POST", "/pricebooks", {"name": "Short", "pricebook_items": prices}).json["pricebook"]
    assert [price["pricebook_rate"] for price in listed["pricebook_items"]] == [2.5]
    inventory("DELETE", f"/items/{made['item_id']}")
    assert inventory.get(f"/pricebooks/{listed['pricebook_id']}")["pricebook"]["pricebook_items"] == []


def test_every_module_with_rules_tells_its_changes_under_its_own_key_and_the_others_none(
    inventory: Caller, control: Control, listener: Listener
) -> None:
    wanted = {
        "salesorder": "salesorder",
        "customerpayment": "payment",
        "bill": "bill",
        "creditnote": "creditnote",
        "inventoryadjustment": "inventory_adjustment",
    }
    control("POST", "/webhooks", [{"module": module, "event": "edited", "url": listener.url} for module in wanted])
    for module in (*wanted, "pricebook", "user"):
        control("POST", "/edit", {"module": module, "action": "update", "changes": {"description": "seen"}})
    control("POST", "/flush")
    keys = sorted(next(iter(msgspec.json.decode(heard.body))) for heard in listener.heard)
    assert keys == sorted(wanted.values())


def test_what_nobody_knows_of_webhook_bodies_can_be_had_either_way() -> None:
    settings = msgspec.structs.replace(SMALL, payment_wrapper="customerpayment")
    shapes = {name: held.shape for name, held in Sandbox(settings).world.collections.items()}
    assert shapes["customerpayments"].wrapper == "customerpayment"
    assert shapes["inventoryadjustments"].wrapper == "inventory_adjustment"


@pytest.mark.parametrize(("name", "id_key"), [("pricebooks", "pricebook_id"), ("users", "user_id")])
def test_what_no_webhook_announces_is_deleted_like_the_rest(
    inventory: Caller, control: Control, name: str, id_key: str
) -> None:
    record_id = inventory.get(f"/{name}")[name][-1][id_key]
    assert inventory("DELETE", f"/{name}/{record_id}").status_code == 200
    gone = inventory("GET", f"/{name}/{record_id}")
    assert (gone.status_code, gone.json["code"]) == (404, 1002)
    assert control("GET", f"/deleted/{name}") == {"ids": [record_id]}
