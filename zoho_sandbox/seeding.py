"""The organisation as it was before anyone called: the same records for the same seed, size and day."""

import random
from datetime import date, timedelta

from zoho_sandbox import words
from zoho_sandbox.entities.invoices import money, totals
from zoho_sandbox.records import Record, State
from zoho_sandbox.settings import Settings
from zoho_sandbox.world import World

_DAY = 86_400
# Changes are spread over the past two years; a record may be up to a year older than its last change.
_CHANGED_WITHIN = 730 * _DAY
_CREATED_BEFORE = 365 * _DAY
_SERVICE_SHARE = 0.02


def anchor(world: World, as_of: str) -> int:
    """The moment the seeded past ends: the given day's start, or today's, in the organisation's zone."""
    return world.clock.day_start(as_of) if as_of else world.clock.midnight(world.clock.now())


def seed_world(world: World, settings: Settings) -> None:
    """Fill an empty world."""
    rng = random.Random(settings.seed)
    until = anchor(world, settings.as_of)
    items = [_record(world, rng, until, _item(rng, number)) for number in range(1, settings.products + 1)]
    world.seed("items", items)
    customers = [
        _record(world, rng, until, _contact(rng, number, "customer")) for number in range(1, settings.customers + 1)
    ]
    vendors = [_record(world, rng, until, _contact(rng, number, "vendor")) for number in range(1, settings.vendors + 1)]
    world.seed("contacts", customers + vendors)
    if items and customers:
        invoices = [_invoice(world, rng, until, items, customers) for _ in range(settings.invoices)]
        world.seed("invoices", invoices)


def _record(world: World, rng: random.Random, until: int, state: State) -> Record:
    modified = until - 1 - int(rng.random() * _CHANGED_WITHIN)
    created = modified - int(rng.random() * _CREATED_BEFORE)
    return Record(world.new_id(), state, created, modified)


def price(rng: random.Random) -> float:
    """A price as price lists have them: many small, few large."""
    return round(1.5 + 90 * rng.random() ** 3 * (1 + 9 * rng.random()), 2)


def _item(rng: random.Random, number: int) -> State:
    pick = rng.random
    brand = words.BRANDS[int(pick() * len(words.BRANDS))]
    if pick() < _SERVICE_SHARE:
        name = f"{words.SERVICES[number % len(words.SERVICES)]} {brand} {number}"
        return {
            "name": name,
            "sku": f"SV-{number:06d}",
            "rate": price(rng),
            "product_type": "service",
            "item_type": "sales",
        }
    kind = words.KINDS[int(pick() * len(words.KINDS))]
    spec = words.SPECS[int(pick() * len(words.SPECS))]
    rate = price(rng)
    category = int(pick() * len(words.CATEGORIES))
    held = [float(int(pick() * 300)), float(int(pick() * 80)), float(int(pick() * 20))]
    state: State = {
        "name": f"{brand} {kind} {spec} {number}",
        "sku": f"{brand[:2].upper()}-{number:06d}",
        "rate": rate,
        "purchase_rate": round(rate * (0.5 + 0.3 * pick()), 2),
        "brand": brand,
        "manufacturer": brand,
        "category_id": str(category + 1),
        "category_name": words.CATEGORIES[category],
        "reorder_level": float(int(pick() * 20)) if pick() < 0.5 else "",
        "tax_percentage": 5 if pick() < 0.4 else 0,
        "stocks": held,
        "committed": [float(int(count * pick() * 0.3)) for count in held],
        "cf": words.ORIGINS[int(pick() * len(words.ORIGINS))],
    }
    if pick() < 0.05:
        state["status"] = "inactive"
    return state


def person(rng: random.Random, number: int) -> State:
    """Names and ways to reach someone."""
    first, last = rng.choice(words.FIRST_NAMES), rng.choice(words.LAST_NAMES)
    return {
        "first_name": first,
        "last_name": last,
        "email": f"contact{number}@example{rng.randrange(40)}.test" if rng.random() < 0.8 else "",
        "phone": f"+964-7{rng.randrange(70, 90)}-{rng.randrange(10**6, 10**7)}" if rng.random() < 0.9 else "",
    }


def _contact(rng: random.Random, number: int, contact_type: str) -> State:
    town = rng.choice(words.TOWNS)
    company = f"{rng.choice(words.LAST_NAMES)} {rng.choice(words.TRADES)} {town}"
    return {
        **person(rng, number),
        "contact_name": f"{company} {number}" if contact_type == "customer" else f"{company} Supply {number}",
        "company_name": company,
        "contact_type": contact_type,
        "status": "active" if rng.random() < 0.96 else "inactive",
        "payment_terms": rng.choice((0, 15, 30)),
        "city": town,
        "street": f"Street {rng.randrange(1, 90)}, No. {rng.randrange(1, 200)}",
        "cf": rng.choice(words.REGIONS),
    }


def _invoice(world: World, rng: random.Random, until: int, items: list[Record], customers: list[Record]) -> Record:
    customer = rng.choice(customers)
    chosen = rng.sample(items, min(len(items), rng.randrange(1, 7)))
    state: State = {
        "invoice_number": world.new_invoice_number(),
        "customer_id": customer.id,
        "customer_name": customer.state["contact_name"],
        "company_name": customer.state["company_name"],
        "reference_number": f"PO-{rng.randrange(10_000)}" if rng.random() < 0.4 else "",
        "shipping_charge": float(rng.choice((0, 0, 0, 10, 25))),
        "lines": [_line(world, rng, item) for item in chosen],
        "status": "draft",
        "payment_made": 0.0,
        "cf": rng.choice(("web", "desk", "")),
    }
    record = _record(world, rng, until, state)
    day = date.fromisoformat(world.clock.date(record.created))
    state["date"], state["due_date"] = day.isoformat(), (day + timedelta(days=15)).isoformat()
    _settle(rng, state, world.clock.date(until))
    return record


def _line(world: World, rng: random.Random, item: Record) -> State:
    return {
        "line_item_id": world.new_id(),
        "item_id": item.id,
        "sku": item.state["sku"],
        "name": item.state["name"],
        "rate": item.state["rate"],
        "quantity": float(rng.randrange(1, 25)),
        "discount": float(rng.choice((0, 0, 0, 5, 10))),
        "tax_percentage": item.state.get("tax_percentage", 0),
    }


def _settle(rng: random.Random, state: State, today: str) -> None:
    """Give an invoice the status its payments and its due date call for."""
    total, luck = totals(state)["total"], rng.random()
    if luck < 0.5:
        state |= {"status": "paid", "payment_made": total, "last_payment_date": state["due_date"], "is_emailed": True}
    elif luck < 0.65:
        state |= {"status": "partially_paid", "payment_made": money(total * 0.4), "last_payment_date": state["date"]}
    elif luck < 0.9:
        state |= {"status": "overdue" if state["due_date"] < today else "sent", "is_emailed": True}
    elif luck < 0.95:
        state["status"] = "void"
