"""One change for each kind of record the stand-in holds, the same for every entity that is made of it.

A kind that is not named here is a document: its reference number changes.
"""

from typing import Any

from tests.support.standin import StandIn

CHANGES: dict[str, dict[str, Any]] = {
    "items": {"rate": 3.25, "stock_on_hand": 4321},
    "contacts": {"phone": "+964-770"},
    "invoices": {"notes": "changed"},
    "customerpayments": {"description": "changed"},
    "inventoryadjustments": {"description": "changed"},
    "categories": {"description": "changed"},
    "locations": {"location_name": "Moved"},
    "users": {"user_role": "changed"},
}


def change(standin: StandIn, path: str, record_id: str) -> None:
    """Change a record so that all that is made of it changes."""
    changes = CHANGES.get(path, {"reference_number": "R-1"})
    if path == "pricebooks":
        changes = {"prices": {standin.ids("items")[0]: 8.5}}
    standin.edit(path, record_id, **changes)


def change_unseen(standin: StandIn, path: str, record_id: str) -> None:
    """Change what no list row shows: stock goes from one place to another, or one price of a list moves."""
    if path != "items":
        change(standin, path, record_id)
        return
    held = standin.detail(path, record_id)["locations"]
    fullest = max(held, key=lambda place: float(place["location_stock_on_hand"]))
    other = next(place for place in held if place is not fullest)
    moved = {"from": fullest["location_id"], "to": other["location_id"], "quantity": 1.0}
    standin.edit(path, record_id, transfer=moved)


def clear_custom_field(standin: StandIn, path: str, record_id: str) -> None:
    """Take away the value of the organisation's own field."""
    standin.edit(path, record_id, **{standin.sandbox.world.organization.custom_fields[path].api_name: ""})
