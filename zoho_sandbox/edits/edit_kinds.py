"""The kinds of edit people make, each by name: how often, to which records, and how it is made."""

import random
from collections.abc import Callable

from zoho_sandbox.api_errors import RefusalError
from zoho_sandbox.edits import additions, updates
from zoho_sandbox.edits.additions import Addition
from zoho_sandbox.edits.record_picking import random_record
from zoho_sandbox.edits.updates import Update
from zoho_sandbox.record import Record, State
from zoho_sandbox.world import World
from zoho_sandbox.writes import create, delete, update

UPDATES: dict[str, tuple[float, str, Update]] = {
    "item_price": (24, "items", updates.item_price),
    "item_stock": (26, "items", updates.item_stock),
    "item_transfer": (3, "items", updates.item_transfer),
    "item_rename": (7, "items", updates.item_rename),
    "item_status": (3, "items", updates.status_flip),
    "contact_phone": (9, "contacts", updates.phone),
    "contact_email": (7, "contacts", updates.contact_email),
    "contact_status": (1, "contacts", updates.status_flip),
    "order_reference": (2, "salesorders", updates.reference),
    "order_confirm": (4, "salesorders", updates.moved_on("draft", "confirmed")),
    "order_ship": (4, "salesorders", updates.order_ship),
    "invoice_sent": (5, "invoices", updates.moved_on("draft", "sent")),
    "payment_note": (1, "customerpayments", updates.described),
    "bill_open": (1, "bills", updates.moved_on("draft", "open")),
    "bill_pay": (2, "bills", updates.bill_pay),
    "credit_apply": (1, "creditnotes", updates.credit_apply),
    "adjustment_note": (0.5, "inventoryadjustments", updates.described),
    "price_list_prices": (1, "pricebooks", updates.list_prices),
    "user_phone": (0.5, "users", updates.phone),
    "user_role": (0.5, "users", updates.user_role),
}
ADDITIONS: dict[str, tuple[float, str, Addition]] = {
    "item_create": (3, "items", additions.item),
    "contact_create": (2, "contacts", additions.contact),
    "order_create": (4, "salesorders", additions.document("customer", "draft", "confirmed")),
    "invoice_create": (3, "invoices", additions.document("customer", "draft", "sent")),
    "payment_create": (7, "customerpayments", additions.payment),
    "bill_create": (1, "bills", additions.document("vendor", "draft", "open")),
    "credit_create": (1, "creditnotes", additions.document("customer", "draft", "open", is_returned_to_stock=True)),
    "adjustment_create": (1, "inventoryadjustments", additions.adjustment),
    "price_list_create": (0.1, "pricebooks", additions.price_list),
    "user_create": (0.2, "users", additions.user),
}


def _any(_state: State) -> bool:
    return True


def _draft(state: State) -> bool:
    return bool(state["status"] == "draft")


def _took_stock(state: State) -> bool:
    return all(line.get("quantity_adjusted", 0.0) <= 0 for line in state["lines"])


# What is removed, and which of it people would remove without leaving less stock than none.
REMOVALS: dict[str, tuple[float, str, Callable[[State], bool]]] = {
    "item_delete": (1.5, "items", _any),
    "contact_delete": (0.75, "contacts", _any),
    "order_delete": (0.5, "salesorders", _draft),
    "invoice_delete": (0.75, "invoices", _any),
    "payment_delete": (0.5, "customerpayments", _any),
    "bill_delete": (0.5, "bills", _draft),
    "credit_delete": (0.25, "creditnotes", _draft),
    "adjustment_delete": (0.25, "inventoryadjustments", _took_stock),
    "price_list_delete": (0.05, "pricebooks", _any),
    "user_delete": (0.1, "users", _any),
}
# How often each edit is made, relative to the others.
USUAL_MIX: dict[str, float] = {
    **{name: weight for name, (weight, *_) in UPDATES.items()},
    **{name: weight for name, (weight, *_) in ADDITIONS.items()},
    **{name: weight for name, (weight, *_) in REMOVALS.items()},
}
_REMOVAL_TRIES = 12


def make_update(world: World, rng: random.Random, name: str, record: Record) -> Record:
    _weight, collection, payload = UPDATES[name]
    return update(world, collection, record.id, payload(world, rng, record))


def make_addition(world: World, rng: random.Random, name: str) -> Record | None:
    """A new record, or None when it lacks somebody to be for."""
    _weight, collection, addition = ADDITIONS[name]
    payload = addition(world, rng)
    return create(world, collection, payload) if payload is not None else None


def make_removal(world: World, rng: random.Random, name: str) -> Record | None:
    """A record nothing stands on, deleted; None when a few picks found none."""
    _weight, collection, is_fit = REMOVALS[name]
    for _ in range(_REMOVAL_TRIES):
        record = random_record(world, rng, collection)
        if record is None:
            return None
        if world.uses[record.id] == 0 and is_fit(record.state):
            try:
                delete(world, collection, record.id)
            except RefusalError:
                continue
            return record
    return None
