"""Writes answer, add up, and refuse what Zoho refuses."""

from collections.abc import Callable
from typing import Any

from tests.sandbox.conftest import Caller, TurnableClock
from zoho_sandbox.sandbox import Sandbox


def free_item(books: Caller, **fields: Any) -> dict[str, Any]:
    answer = books("POST", "/items", {"name": "Brass Fitting", "rate": 10, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json["item"]


def test_an_item_is_created_read_changed_and_deleted(books: Caller, turnable: TurnableClock) -> None:
    item = free_item(books, sku="BF-1", initial_stock=12)
    assert (item["stock_on_hand"], item["rate"]) == (12.0, 10.0)
    turnable.added_seconds = 5
    changed = books("PUT", f"/items/{item['item_id']}", {"rate": 11.5, "colour": "red"})
    assert (changed.status_code, changed.json["item"]["rate"]) == (200, 11.5)
    assert changed.json["item"]["last_modified_time"] > item["last_modified_time"]
    assert changed.json["item"]["created_time"] == item["created_time"]
    assert books.get(f"/items/{item['item_id']}")["item"] == changed.json["item"]
    assert books("DELETE", f"/items/{item['item_id']}").json == {"code": 0, "message": "The item has been deleted."}
    gone = books("GET", f"/items/{item['item_id']}")
    assert (gone.status_code, gone.json["code"]) == (404, 1002)
    assert item["item_id"] not in books.ids("items", "item_id", sort_column="last_modified_time")


def test_a_name_is_given_once(books: Caller) -> None:
    free_item(books)
    again = books("POST", "/items", {"name": "brass fitting"})
    assert (again.status_code, again.json["code"]) == (400, 1001)
    books("POST", "/contacts", {"contact_name": "Twice Ltd"})
    assert books("POST", "/contacts", {"contact_name": "Twice Ltd"}).json["code"] == 3062


def test_values_that_are_none_are_refused(books: Caller) -> None:
    for body in ({}, {"name": " "}, {"name": "x", "rate": "much"}, {"name": "x", "rate": -1}):
        refused = books("POST", "/items", body)
        assert (refused.status_code, refused.json["code"]) == (400, 2)


def test_what_stands_on_an_invoice_cannot_be_deleted(books: Caller) -> None:
    row = books.get("/invoices")["invoices"][0]
    line = books.get(f"/invoices/{row['invoice_id']}")["invoice"]["line_items"][0]
    item = books("DELETE", f"/items/{line['item_id']}")
    contact = books("DELETE", f"/contacts/{row['customer_id']}")
    assert (item.status_code, contact.status_code) == (400, 400)
    assert item.json["code"] != 0
    assert books.get(f"/items/{line['item_id']}")["item"]["item_id"] == line["item_id"]


def test_an_item_is_free_again_when_its_last_invoice_is_gone(books: Caller) -> None:
    item = free_item(books)
    customer = books.get("/customers")["contacts"][0]["contact_id"]
    body = {"customer_id": customer, "line_items": [{"item_id": item["item_id"], "quantity": 2}]}
    invoice = books("POST", "/invoices", body).json["invoice"]
    assert books("DELETE", f"/items/{item['item_id']}").status_code == 400
    assert books("DELETE", f"/invoices/{invoice['invoice_id']}").status_code == 200
    assert books("DELETE", f"/items/{item['item_id']}").status_code == 200


def assert_adds_up(invoice: dict[str, Any]) -> None:
    lines = invoice["line_items"]
    for line in lines:
        gross = line["rate"] * line["quantity"]
        assert abs(line["item_total"] - gross * (1 - line["discount"] / 100)) < 0.006
    taxes = sum(round(line["item_total"] * line["tax_percentage"] / 100, 2) for line in lines)
    assert round(sum(line["item_total"] for line in lines), 2) == invoice["sub_total"]
    assert round(taxes, 2) == invoice["tax_total"] == round(sum(tax["tax_amount"] for tax in invoice["taxes"]), 2)
    extras = invoice["shipping_charge"] + invoice["adjustment"]
    assert round(invoice["sub_total"] + invoice["tax_total"] + extras, 2) == invoice["total"]
    if invoice["status"] != "void":
        assert round(invoice["total"] - invoice["payment_made"] - invoice["credits_applied"], 2) == invoice["balance"]


def test_every_seeded_invoice_adds_up(books: Caller) -> None:
    for invoice_id in books.ids("invoices", "invoice_id"):
        assert_adds_up(books.get(f"/invoices/{invoice_id}")["invoice"])


def test_a_new_invoice_adds_up_and_keeps_the_prices_of_its_day(books: Caller) -> None:
    item = free_item(books, rate=3.33)
    customer = books.get("/customers")["contacts"][3]
    body = {
        "customer_id": customer["contact_id"],
        "date": "2026-11-20",
        "shipping_charge": 4,
        "line_items": [{"item_id": item["item_id"], "quantity": 7, "discount": 10}],
    }
    invoice = books("POST", "/invoices", body).json["invoice"]
    assert (invoice["sub_total"], invoice["total"], invoice["status"]) == (20.98, 24.98, "draft")
    assert (invoice["customer_name"], invoice["due_date"]) == (customer["contact_name"], "2026-12-05")
    books("PUT", f"/items/{item['item_id']}", {"rate": 99})
    changed = books("PUT", f"/invoices/{invoice['invoice_id']}", {"shipping_charge": 0}).json["invoice"]
    assert (changed["total"], changed["line_items"][0]["rate"]) == (20.98, 3.33)
    assert changed["line_items"][0]["line_item_id"] == invoice["line_items"][0]["line_item_id"]
    assert_adds_up(changed)


def test_an_invoice_goes_its_way_by_actions_and_payments(books: Caller) -> None:
    draft = next(row for row in books.get("/invoices")["invoices"] if row["status"] == "draft")
    path = f"/invoices/{draft['invoice_id']}"
    assert books("POST", f"{path}/status/sent").json["code"] == 0
    assert books.get(path)["invoice"]["status"] == "sent"
    part = round(draft["total"] / 2, 2)

    def pay(amount: float) -> str:
        applied = {"invoice_id": draft["invoice_id"], "amount_applied": amount}
        body = {"customer_id": draft["customer_id"], "amount": amount, "invoices": [applied]}
        answer = books("POST", "/customerpayments", body)
        assert answer.status_code == 201, answer.text
        return str(answer.json["payment"]["payment_id"])

    first = pay(part)
    assert books.get(path)["invoice"]["status"] == "partially_paid"
    pay(round(draft["total"] - part, 2))
    paid = books.get(path)["invoice"]
    assert (paid["status"], paid["balance"]) == ("paid", 0.0)
    assert books("DELETE", path).status_code == 400
    over = {"invoice_id": draft["invoice_id"], "amount_applied": 1}
    more = books("POST", "/customerpayments", {"customer_id": draft["customer_id"], "amount": 1, "invoices": [over]})
    assert (more.status_code, more.json["code"]) == (400, 24016)
    assert books("DELETE", f"/customerpayments/{first}").status_code == 200
    owed = books.get(path)["invoice"]
    assert (owed["status"], owed["balance"]) == ("partially_paid", part)


def test_contacts_can_be_silenced_and_woken(books: Caller) -> None:
    made = books("POST", "/vendors", {"contact_name": "Quiet Supply", "contact_persons": [{"email": "q@example.test"}]})
    contact = made.json["contact"]
    assert (contact["contact_type"], contact["email"]) == ("vendor", "q@example.test")
    books("POST", f"/contacts/{contact['contact_id']}/inactive")
    assert books.get(f"/contacts/{contact['contact_id']}")["contact"]["status"] == "inactive"
    books("POST", f"/contacts/{contact['contact_id']}/active")
    assert books.get(f"/contacts/{contact['contact_id']}")["contact"]["status"] == "active"


def test_a_stock_movement_shows_in_modified_time_only_while_switched_so(
    books: Caller, sandbox: Sandbox, control: Callable[..., Any], turnable: TurnableClock
) -> None:
    item = free_item(books, initial_stock=5)
    turnable.added_seconds = 10
    asked = {"module": "item", "action": "update", "id": item["item_id"]}
    control("POST", "/stock-bumps-modified", {"on": False})
    silent = control("POST", "/edit", asked | {"changes": {"stock_on_hand": 8}})
    assert (silent["stock_on_hand"], silent["last_modified_time"]) == (8.0, item["last_modified_time"])
    row = next(r for r in books.get("/items", sku="", search_text="brass fitting")["items"])
    assert row["stock_on_hand"] == 8.0
    control("POST", "/stock-bumps-modified", {"on": True})
    loud = control("POST", "/edit", asked | {"changes": {"stock_on_hand": 9}})
    assert loud["last_modified_time"] > item["last_modified_time"]
