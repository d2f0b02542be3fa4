"""The kinds of edit people make: prices, stock, names, statuses, contacts' details, payments, new and gone records."""

import random
from collections.abc import Callable
from typing import Any

from zoho_sandbox import words
from zoho_sandbox.entities.invoices import money, totals
from zoho_sandbox.records import Record
from zoho_sandbox.seeding import person, price
from zoho_sandbox.world import World
from zoho_sandbox.writes import create, delete, update

Payload = dict[str, Any]


def item_price(rng: random.Random, record: Record) -> Payload:
    factor = 1 + (rng.random() - 0.5) / 5
    return {"rate": max(round(record.state["rate"] * factor, 2), 0.25)}


def item_stock(rng: random.Random, record: Record) -> Payload:
    if "stocks" not in record.state:
        return item_price(rng, record)
    held, elsewhere = sum(record.state["stocks"]), sum(record.state["stocks"][1:])
    return {"stock_on_hand": max(held + rng.randrange(-12, 13), elsewhere)}


def item_rename(rng: random.Random, record: Record) -> Payload:
    stem, _mark, _number = record.state["name"].partition(" rev ")
    return {
        "name": f"{stem} rev {rng.randrange(10**9)}",
        "description": f"{rng.choice(words.KINDS)} {rng.random():.6f}",
    }


def status_flip(_rng: random.Random, record: Record) -> Payload:
    return {"status": "active" if record.state.get("status") == "inactive" else "inactive"}


def contact_phone(rng: random.Random, _record: Record) -> Payload:
    return {"phone": f"+964-7{rng.randrange(70, 90)}-{rng.randrange(10**6, 10**7)}"}


def contact_email(rng: random.Random, _record: Record) -> Payload:
    return {"email": f"mail{rng.randrange(10**6)}@example{rng.randrange(40)}.test"}


def invoice_payment(rng: random.Random, record: Record) -> Payload:
    sums = totals(record.state)
    if sums["balance"] <= 0:
        return {"notes": f"checked {rng.randrange(10**6)}"}
    part = sums["balance"] if rng.random() < 0.5 else money(sums["balance"] * rng.random())
    return {"payment_made": money(sums["payment_made"] + part)}


def invoice_sent(rng: random.Random, record: Record) -> Payload:
    if record.state["status"] == "draft":
        return {"status": "sent"}
    return {"reference_number": f"PO-{rng.randrange(10**6)}"}


# What an update is called, which records it is made to, and how.
UPDATES: dict[str, tuple[str, Callable[[random.Random, Record], Payload]]] = {
    "item_price": ("items", item_price),
    "item_stock": ("items", item_stock),
    "item_rename": ("items", item_rename),
    "item_status": ("items", status_flip),
    "contact_phone": ("contacts", contact_phone),
    "contact_email": ("contacts", contact_email),
    "contact_status": ("contacts", status_flip),
    "invoice_payment": ("invoices", invoice_payment),
    "invoice_sent": ("invoices", invoice_sent),
}
ADDITIONS = {"item_create": "items", "contact_create": "contacts", "invoice_create": "invoices"}
REMOVALS = {"item_delete": "items", "contact_delete": "contacts", "invoice_delete": "invoices"}
# How often each edit is made, relative to the others.
USUAL_MIX: dict[str, float] = {
    "item_price": 24,
    "item_stock": 26,
    "item_rename": 7,
    "item_status": 3,
    "contact_phone": 9,
    "contact_email": 7,
    "contact_status": 1,
    "invoice_payment": 7,
    "invoice_sent": 5,
    "item_create": 3,
    "contact_create": 2,
    "invoice_create": 3,
    "item_delete": 1.5,
    "contact_delete": 0.75,
    "invoice_delete": 0.75,
}


def random_record(world: World, rng: random.Random, plural: str) -> Record | None:
    entries = world.collections[plural].view((), "created_time")
    if not entries:
        return None
    return world.collections[plural].records[entries[rng.randrange(len(entries))][1]]


def make_update(world: World, rng: random.Random, name: str, record: Record) -> Record:
    plural, payload = UPDATES[name]
    return update(world, plural, record.id, payload(rng, record))


def make_addition(world: World, rng: random.Random, name: str) -> Record | None:
    """A new record, or None when an invoice has nobody to go to."""
    number = rng.randrange(10**9)
    match ADDITIONS[name]:
        case "items":
            kind = f"{rng.choice(words.BRANDS)} {rng.choice(words.KINDS)} {number}"
            payload = {"name": kind, "sku": f"NEW-{number}", "rate": price(rng), "initial_stock": rng.randrange(200)}
            return create(world, "items", payload)
        case "contacts":
            side = "customer" if rng.random() < 0.9 else "vendor"
            company = f"{rng.choice(words.LAST_NAMES)} {rng.choice(words.TRADES)} {number}"
            return create(world, "contacts", {"contact_name": company, "contact_type": side, **person(rng, number)})
    customer, item = random_record(world, rng, "contacts"), random_record(world, rng, "items")
    if customer is None or item is None or customer.state["contact_type"] != "customer":
        return None
    line = {"item_id": item.id, "quantity": rng.randrange(1, 20)}
    return create(world, "invoices", {"customer_id": customer.id, "line_items": [line]})


def make_removal(world: World, rng: random.Random, name: str, tries: int = 8) -> Record | None:
    """A record nothing stands on, deleted; None when a few picks found none."""
    plural = REMOVALS[name]
    for _ in range(tries):
        record = random_record(world, rng, plural)
        if record is None:
            return None
        is_free = world.uses[record.id] == 0
        if is_free and (plural != "invoices" or record.state.get("payment_made", 0.0) == 0):
            delete(world, plural, record.id)
            return record
    return None
