"""Seeds items, their categories and taxes, and the price lists they are on."""

import random

from zoho_sandbox import sample_words
from zoho_sandbox.organization import fixed_id
from zoho_sandbox.record import Record, State
from zoho_sandbox.seeding.backdated_records import Past

_SERVICE_SHARE = 0.02
_MOST_HELD = (300, 80, 20)


def seed_categories(past: Past) -> None:
    """Seed the item categories and the two tax rates."""
    names = enumerate(sample_words.CATEGORIES)
    categories = [past.record({"name": name, "status": "active"}, _category_id(place)) for place, name in names]
    past.world.seed("categories", categories)
    vat = {"tax_name": "VAT", "tax_percentage": 5.0, "is_default_tax": True}
    exempt = {"tax_name": "Exempt", "tax_percentage": 0.0}
    tax_id = past.world.organization.tax_id
    past.world.seed("taxes", [past.record(vat, tax_id), past.record(exempt, str(int(tax_id) + 1))])


def seed_items(past: Past, count: int) -> list[Record]:
    """Seed the catalogue."""
    places = len(past.world.organization.locations)
    items = [past.record(_item(past.rng, number, places)) for number in range(1, count + 1)]
    past.world.seed("items", items)
    return items


def seed_price_lists(past: Past, items: list[Record], lists: int, prices: int) -> None:
    """Seed lists with so many prices in all, an item once a list; of three or more lists one is by percentage."""
    by_item = lists - 1 if lists > 2 else lists
    shares = [prices // by_item + (place < prices % by_item) for place in range(by_item)] if by_item else []
    records = [past.record(_price_list(past, place, items, share)) for place, share in enumerate(shares)]
    if lists > by_item:
        state = {"name": "Staff Discount", "pricebook_type": "fixed_percentage", "percentage": 10.0, "prices": {}}
        records.append(past.record(state))
    past.world.seed("pricebooks", records)


def price(rng: random.Random) -> float:
    """A price as price lists have them: many small, few large."""
    return round(1.5 + 90 * rng.random() ** 3 * (1 + 9 * rng.random()), 2)


def _category_id(place: int) -> str:
    return fixed_id(7000 + 2 * place)


def _price_list(past: Past, place: int, items: list[Record], share: int) -> State:
    rng, factor = past.rng, 0.95 - 0.04 * place
    chosen = rng.sample(items, min(share, len(items)))
    named = sample_words.PRICE_LISTS[place % len(sample_words.PRICE_LISTS)]
    return {
        "name": named if place < len(sample_words.PRICE_LISTS) else f"{named} {place + 1}",
        "pricebook_type": "per_item",
        "prices": {item.id: (past.world.new_id(), round(item.state["rate"] * factor, 2)) for item in chosen},
    }


def _item(rng: random.Random, number: int, places: int) -> State:
    pick = rng.random
    brand = sample_words.BRANDS[int(pick() * len(sample_words.BRANDS))]
    if pick() < _SERVICE_SHARE:
        name = f"{sample_words.SERVICES[number % len(sample_words.SERVICES)]} {brand} {number}"
        return {
            "name": name,
            "sku": f"SV-{number:06d}",
            "rate": price(rng),
            "product_type": "service",
            "item_type": "sales",
        }
    kind = sample_words.KINDS[int(pick() * len(sample_words.KINDS))]
    spec = sample_words.SPECS[int(pick() * len(sample_words.SPECS))]
    rate = price(rng)
    category = int(pick() * len(sample_words.CATEGORIES))
    state: State = {
        "name": f"{brand} {kind} {spec} {number}",
        "sku": f"{brand[:2].upper()}-{number:06d}",
        "rate": rate,
        "purchase_rate": round(rate * (0.5 + 0.3 * pick()), 2),
        "brand": brand,
        "manufacturer": brand,
        "category_id": _category_id(category),
        "category_name": sample_words.CATEGORIES[category],
        "reorder_level": float(int(pick() * 20)) if pick() < 0.5 else "",
        "tax_percentage": 5 if pick() < 0.4 else 0,
        "stocks": [float(int(pick() * _MOST_HELD[min(place, 2)])) for place in range(places)],
        "committed": [0.0] * places,
        "cf": sample_words.ORIGINS[int(pick() * len(sample_words.ORIGINS))],
    }
    if pick() < 0.05:
        state["status"] = "inactive"
    return state
