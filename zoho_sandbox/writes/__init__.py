"""What may be written and what a write makes of a record: the rules of each kind, found here by collection."""

from collections.abc import Mapping
from typing import Any, Protocol

from zoho_sandbox.record import Record, State
from zoho_sandbox.world import World
from zoho_sandbox.writes.bills import BILL_WRITES
from zoho_sandbox.writes.contacts import ContactWrites
from zoho_sandbox.writes.creditnotes import CREDIT_NOTE_WRITES
from zoho_sandbox.writes.customerpayments import PaymentWrites
from zoho_sandbox.writes.inventoryadjustments import AdjustmentWrites
from zoho_sandbox.writes.invoices import INVOICE_WRITES
from zoho_sandbox.writes.items import STOCK_FIELDS, ItemWrites
from zoho_sandbox.writes.salesorders import SALES_ORDER_WRITES
from zoho_sandbox.writes.side_effects import NO_EFFECTS, Effects, forget_item, spread
from zoho_sandbox.writes.simple_records import (
    CATEGORY_WRITES,
    LOCATION_WRITES,
    PRICE_LIST_WRITES,
    TAX_WRITES,
    USER_WRITES,
)


class Writes(Protocol):
    """The rules for writing one kind of record; every refusal is Zoho's.

    `actions` are what a POST below a record does to it; `effects` what a record in this state does to others.
    """

    @property
    def actions(self) -> Mapping[str, Mapping[str, Any]]: ...
    def created(self, world: World, payload: Mapping[str, Any]) -> State: ...
    def changed(self, world: World, record: Record, payload: Mapping[str, Any]) -> State: ...
    def check_deletable(self, world: World, record: Record) -> None: ...
    def effects(self, state: State, /) -> Effects: ...


WRITES: dict[str, Writes] = {
    "items": ItemWrites(),
    "contacts": ContactWrites(),
    "salesorders": SALES_ORDER_WRITES,
    "invoices": INVOICE_WRITES,
    "customerpayments": PaymentWrites(),
    "bills": BILL_WRITES,
    "creditnotes": CREDIT_NOTE_WRITES,
    "inventoryadjustments": AdjustmentWrites(),
    "pricebooks": PRICE_LIST_WRITES,
    "users": USER_WRITES,
    "taxes": TAX_WRITES,
    "categories": CATEGORY_WRITES,
    "locations": LOCATION_WRITES,
}


def create(world: World, name: str, payload: Mapping[str, Any]) -> Record:
    """Create a record from what a caller sent."""
    with world.lock:
        record = world.create(name, WRITES[name].created(world, payload))
        spread(world, NO_EFFECTS, WRITES[name].effects(record.state))
        return record


def update(world: World, name: str, record_id: str, payload: Mapping[str, Any]) -> Record:
    """Change a live record by what a caller sent."""
    with world.lock:
        before = world.find(name, record_id)
        rules = WRITES[name]
        state = rules.changed(world, before, payload)
        if name == "items" and payload and set(payload) <= STOCK_FIELDS:
            return world.move_stock(before, state)
        record = world.update(name, before, state)
        spread(world, rules.effects(before.state), rules.effects(state))
        return record


def delete(world: World, name: str, record_id: str) -> None:
    """Delete a live record unless something stands on it."""
    with world.lock:
        record = world.find(name, record_id)
        WRITES[name].check_deletable(world, record)
        world.delete(name, record)
        spread(world, WRITES[name].effects(record.state), NO_EFFECTS)
        if name == "items":
            forget_item(world, record_id)
