"""Picking of records by chance, evenly, out of those alive."""

import random

from zoho_sandbox.collection import Facets
from zoho_sandbox.record import Record
from zoho_sandbox.world import World

CUSTOMERS: Facets = (("contact_type", "customer"),)
VENDORS: Facets = (("contact_type", "vendor"),)


def random_record(world: World, rng: random.Random, name: str, facets: Facets = ()) -> Record | None:
    """Any living record of a collection (that matches), or None when there is none."""
    entries = world.collections[name].view(facets, "created_time")
    if not entries:
        return None
    return world.collections[name].records[entries[rng.randrange(len(entries))][1]]


def held_at(world: World, item_id: str, place: int) -> float:
    """What of an item is at a location; nothing where no stock is kept."""
    item = world.collections["items"].records.get(item_id)
    return item.state["stocks"][place] if item is not None and "stocks" in item.state else 0.0
