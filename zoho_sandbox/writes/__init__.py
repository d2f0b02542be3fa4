"""What may be written and what a write makes of a record: one module per kind, found here by plural name."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from zoho_sandbox.records import Record, State
from zoho_sandbox.world import World
from zoho_sandbox.writes.contacts import ContactWrites
from zoho_sandbox.writes.invoices import InvoiceWrites
from zoho_sandbox.writes.items import ItemWrites


class Writes(Protocol):
    """The rules for writing one kind of record; every refusal is Zoho's."""

    actions: ClassVar[Mapping[str, str]]

    def created(self, world: World, payload: Mapping[str, Any]) -> State: ...
    def changed(self, world: World, record: Record, payload: Mapping[str, Any]) -> State: ...
    def check_deletable(self, world: World, record: Record) -> None: ...


WRITES: dict[str, Writes] = {"items": ItemWrites(), "contacts": ContactWrites(), "invoices": InvoiceWrites()}


def create(world: World, plural: str, payload: Mapping[str, Any]) -> Record:
    """Create a record from what a caller sent."""
    with world.lock:
        return world.create(plural, WRITES[plural].created(world, payload))


def update(world: World, plural: str, record_id: str, payload: Mapping[str, Any]) -> Record:
    """Change a live record by what a caller sent."""
    with world.lock:
        record = world.find(plural, record_id)
        state = WRITES[plural].changed(world, record, payload)
        if plural == "items" and set(payload) == {"stock_on_hand"}:
            return world.move_stock(record, state)
        return world.update(plural, record, state)


def delete(world: World, plural: str, record_id: str) -> None:
    """Delete a live record unless something stands on it."""
    with world.lock:
        record = world.find(plural, record_id)
        WRITES[plural].check_deletable(world, record)
        world.delete(plural, record)
