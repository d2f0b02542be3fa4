"""Records people add: goods, partners, documents, payments, counts, price lists and colleagues."""

import random
from collections.abc import Callable
from typing import Any

from zoho_sandbox import sample_words
from zoho_sandbox.edits.record_picking import CUSTOMERS, VENDORS, held_at, random_record
from zoho_sandbox.entities.document_common import money, totals
from zoho_sandbox.entities.inventoryadjustments import REASONS
from zoho_sandbox.seeding.catalogue import price
from zoho_sandbox.seeding.people_and_places import person
from zoho_sandbox.world import World

Payload = dict[str, Any]
Addition = Callable[[World, random.Random], Payload | None]


def item(_world: World, rng: random.Random) -> Payload:
    number = rng.randrange(10**9)
    kind = f"{rng.choice(sample_words.BRANDS)} {rng.choice(sample_words.KINDS)} {number}"
    return {"name": kind, "sku": f"NEW-{number}", "rate": price(rng), "initial_stock": rng.randrange(200)}


def contact(_world: World, rng: random.Random) -> Payload:
    number = rng.randrange(10**9)
    side = "customer" if rng.random() < 0.9 else "vendor"
    company = f"{rng.choice(sample_words.LAST_NAMES)} {rng.choice(sample_words.TRADES)} {number}"
    return {"contact_name": company, "contact_type": side, **person(rng, number)}


def document(party: str, *statuses: str, **line_fields: Any) -> Addition:
    """A document of one to three lines, in one of these statuses; None when there is nobody or nothing for it."""
    facets = CUSTOMERS if party == "customer" else VENDORS

    def addition(world: World, rng: random.Random) -> Payload | None:
        partner = random_record(world, rng, "contacts", facets)
        items = {found.id for _ in range(rng.randrange(1, 4)) if (found := random_record(world, rng, "items"))}
        if partner is None or not items:
            return None
        lines = [{"item_id": item_id, "quantity": rng.randrange(1, 20), **line_fields} for item_id in sorted(items)]
        return {f"{party}_id": partner.id, "line_items": lines, "status": rng.choice(statuses)}

    return addition


def payment(world: World, rng: random.Random) -> Payload | None:
    """Money for an invoice that owes some, in full or in part; else money in advance."""
    for _ in range(8):
        invoice = random_record(world, rng, "invoices")
        if invoice is None:
            break
        balance = totals(invoice.state)["balance"]
        if balance > 0 and invoice.state["status"] != "draft":
            amount = balance if rng.random() < 0.5 else max(money(balance * rng.random()), 0.01)
            applied = {"invoice_id": invoice.id, "amount_applied": amount}
            return {"customer_id": invoice.state["customer_id"], "amount": amount, "invoices": [applied]}
    customer = random_record(world, rng, "contacts", CUSTOMERS)
    return {"customer_id": customer.id, "amount": float(rng.randrange(5, 500))} if customer else None


def adjustment(world: World, rng: random.Random) -> Payload | None:
    """One item counted anew at one location; never below nothing."""
    counted, places = random_record(world, rng, "items"), world.organization.locations
    if counted is None or "stocks" not in counted.state:
        return None
    place = rng.randrange(len(places))
    quantity = max(rng.randrange(-5, 9), -held_at(world, counted.id, place)) or 1
    return {
        "reason": rng.choice(REASONS[:3]),
        "location_id": places[place][0],
        "line_items": [{"item_id": counted.id, "quantity_adjusted": quantity}],
    }


def price_list(world: World, rng: random.Random) -> Payload | None:
    listed = [found for _ in range(20) if (found := random_record(world, rng, "items"))]
    prices = {found.id: round(found.state["rate"] * 0.9, 2) for found in listed}
    return {"name": f"Season {rng.randrange(10**9)}", "prices": prices}


def user(_world: World, rng: random.Random) -> Payload:
    number = rng.randrange(10**9)
    return {"name": f"{rng.choice(sample_words.FIRST_NAMES)} {number}", "email": f"new{number}@tworivers.test"}
