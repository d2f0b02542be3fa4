"""Changes people make to what is there: prices, stock, names, statuses, shipments, payments, phone numbers."""

import random
from collections.abc import Callable
from typing import Any

from zoho_sandbox import sample_words
from zoho_sandbox.edits.record_picking import held_at, random_record
from zoho_sandbox.entities.creditnotes import credit_left
from zoho_sandbox.entities.document_common import money, totals
from zoho_sandbox.record import Record
from zoho_sandbox.world import World

Payload = dict[str, Any]
Update = Callable[[World, random.Random, Record], Payload]


def item_price(_world: World, rng: random.Random, record: Record) -> Payload:
    factor = 1 + (rng.random() - 0.5) / 5
    return {"rate": max(round(record.state["rate"] * factor, 2), 0.25)}


def item_stock(world: World, rng: random.Random, record: Record) -> Payload:
    if "stocks" not in record.state:
        return item_price(world, rng, record)
    held, elsewhere = sum(record.state["stocks"]), sum(record.state["stocks"][1:])
    return {"stock_on_hand": max(held + rng.randrange(-12, 13), elsewhere)}


def item_transfer(world: World, rng: random.Random, record: Record) -> Payload:
    """Carry a part of what the fullest location holds to another one."""
    stocks, locations = record.state.get("stocks", ()), world.organization.locations
    if len(stocks) < 2 or max(stocks) < 1:
        return item_price(world, rng, record)
    fullest = stocks.index(max(stocks))
    other = rng.choice([place for place in range(len(stocks)) if place != fullest])
    quantity = float(rng.randrange(1, min(int(stocks[fullest]), 20) + 1))
    return {"transfer": {"from": locations[fullest][0], "to": locations[other][0], "quantity": quantity}}


def item_rename(_world: World, rng: random.Random, record: Record) -> Payload:
    stem, _mark, _number = record.state["name"].partition(" rev ")
    return {
        "name": f"{stem} rev {rng.randrange(10**9)}",
        "description": f"{rng.choice(sample_words.KINDS)} {rng.random():.6f}",
    }


def status_flip(_world: World, _rng: random.Random, record: Record) -> Payload:
    return {"status": "active" if record.state.get("status") == "inactive" else "inactive"}


def phone(_world: World, rng: random.Random, _record: Record) -> Payload:
    number = f"+964-7{rng.randrange(70, 90)}-{rng.randrange(10**6, 10**7)}"
    return {"phone": number, "mobile": number}


def contact_email(_world: World, rng: random.Random, _record: Record) -> Payload:
    return {"email": f"mail{rng.randrange(10**6)}@example{rng.randrange(40)}.test"}


def reference(_world: World, rng: random.Random, _record: Record) -> Payload:
    return {"reference_number": f"PO-{rng.randrange(10**6)}"}


def moved_on(first: str, then: str) -> Update:
    """From one status to the next; a document that is elsewhere gets a new reference."""

    def update(world: World, rng: random.Random, record: Record) -> Payload:
        return {"status": then} if record.state["status"] == first else reference(world, rng, record)

    return update


def order_ship(world: World, rng: random.Random, record: Record) -> Payload:
    """Ship what is there of a confirmed order; one shipped in full is closed."""
    if record.state["status"] != "confirmed":
        return reference(world, rng, record)
    lines, waiting = [], 0.0
    for line in record.state["lines"]:
        shipped = line.get("quantity_shipped", 0.0)
        left = line["quantity"] - shipped
        now = max(min(left, held_at(world, line["item_id"], line.get("location", 0))), 0.0)
        waiting += left - now
        done = dict.fromkeys(("quantity_packed", "quantity_shipped"), shipped + now)
        lines.append({"line_item_id": line["line_item_id"], "item_id": line["item_id"], **done})
    return {"line_items": lines, **({} if waiting else {"status": "closed"})}


def bill_pay(world: World, rng: random.Random, record: Record) -> Payload:
    balance = totals(record.state)["balance"]
    if record.state["status"] in {"draft", "void"} or balance <= 0:
        return reference(world, rng, record)
    return {"pay": balance if rng.random() < 0.5 else money(balance * rng.random())}


def credit_apply(world: World, rng: random.Random, record: Record) -> Payload:
    """Set a credit against an invoice of the same customer that owes something, if one is found."""
    for invoice in world.collections["invoices"].records.values() if record.state["status"] == "open" else ():
        state = invoice.state
        if state["customer_id"] == record.state["customer_id"] and state["status"] != "draft":
            amount = min(credit_left(record.state), totals(state)["balance"])
            if amount > 0:
                return {"invoices": [{"invoice_id": invoice.id, "amount_applied": amount}]}
    return reference(world, rng, record)


def described(_world: World, rng: random.Random, _record: Record) -> Payload:
    return {"description": f"checked {rng.randrange(10**6)}"}


def list_prices(world: World, rng: random.Random, record: Record) -> Payload:
    """New prices for a few items of a list, one more item on it, another off it."""
    known = list(record.state["prices"])
    if record.state.get("pricebook_type") == "fixed_percentage" or not known:
        return {"percentage": float(rng.randrange(1, 30))}
    prices = {
        item_id: round(record.state["prices"][item_id][1] * 1.05, 2)
        for item_id in rng.sample(known, min(3, len(known)))
    }
    added = random_record(world, rng, "items")
    if added is not None:
        prices[added.id] = added.state["rate"]
    return {"prices": prices | ({rng.choice(known): None} if len(known) > 10 else {})}


def user_role(_world: World, rng: random.Random, _record: Record) -> Payload:
    return {"user_role": rng.choice(("staff", "sales", "warehouse", "timesheetstaff"))}
