"""Writing items: names are unique, stock is set in the main location, and what was invoiced stays."""

from collections.abc import Mapping
from typing import Any, ClassVar

from zoho_sandbox.api_errors import RefusalError, invalid_value
from zoho_sandbox.record import Record, State
from zoho_sandbox.world import World
from zoho_sandbox.writes import fields
from zoho_sandbox.writes.side_effects import NO_EFFECTS, Effects

_READERS: dict[str, fields.Reader] = {
    "name": fields.needed_text,
    "rate": fields.amount,
    "purchase_rate": fields.amount,
    "tax_percentage": fields.amount,
    "status": fields.choice("active", "inactive"),
    "item_type": fields.choice("inventory", "sales", "purchases", "sales_and_purchases"),
    "product_type": fields.choice("goods", "service"),
    **dict.fromkeys(
        (
            *("sku", "unit", "description", "purchase_description", "brand", "manufacturer", "part_number", "upc"),
            *("ean", "isbn", "category_id", "category_name", "image_name", "reorder_level"),
        ),
        fields.text,
    ),
}
# Changes of these alone are movements of stock: `stock_at` is {location id: count}, `transfer` {from, to, quantity}.
STOCK_FIELDS = frozenset({"stock_on_hand", "stock_at", "transfer"})


class ItemWrites:
    """The rules for writing items."""

    actions: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "active": {"status": "active"},
        "inactive": {"status": "inactive"},
    }

    def created(self, world: World, payload: Mapping[str, Any]) -> State:
        if "name" not in payload:
            raise invalid_value("name")
        state: State = {"rate": 0.0, **self._read(world, payload)}
        self._check_name(world, state["name"])
        if state.get("product_type") == "service":
            return state
        locations = len(world.organization.locations)
        initial = fields.number("initial_stock", payload.get("initial_stock") or 0)
        state |= {"stocks": [initial] + [0.0] * (locations - 1), "committed": [0.0] * locations}
        return _stocked(world, state, payload)

    def changed(self, world: World, record: Record, payload: Mapping[str, Any]) -> State:
        read = self._read(world, payload)
        if read.get("name", "").lower() not in ("", record.state["name"].lower()):
            self._check_name(world, read["name"])
        # Whether an item is kept in stock is settled when it is made.
        read.pop("product_type", None)
        return _stocked(world, record.state | read, payload)

    def check_deletable(self, world: World, record: Record) -> None:
        if world.uses[record.id] > 0:
            raise RefusalError(
                400,
                2006,
                "Items which are a part of other transactions cannot be deleted. Instead, mark them as inactive.",
            )

    def effects(self, state: State) -> Effects:  # noqa: ARG002 - an item changes nothing but itself
        return NO_EFFECTS

    def _read(self, world: World, payload: Mapping[str, Any]) -> State:
        custom = world.organization.custom_fields["items"].api_name
        return fields.read_fields(_READERS, payload) | fields.read_custom(custom, payload)

    def _check_name(self, world: World, name: str) -> None:
        if world.name_is_taken("items", name):
            raise RefusalError(400, 1001, f'Item "{name}" already exists.')


def _stocked(world: World, state: State, payload: Mapping[str, Any]) -> State:
    """Stock counted anew: in all (the main location makes up the difference), at some locations, or carried over."""
    if "stocks" not in state or not STOCK_FIELDS & set(payload):
        return state
    stocks, place_of = list(state["stocks"]), world.organization.place_of
    if "stock_on_hand" in payload:
        stocks[0] = fields.number("stock_on_hand", payload["stock_on_hand"]) - sum(stocks[1:])
    for location_id, count in payload.get("stock_at", {}).items():
        stocks[place_of(location_id)] = fields.number("stock_at", count)
    if transfer := payload.get("transfer"):
        quantity = fields.amount("quantity", transfer.get("quantity"))
        stocks[place_of(transfer.get("from"))] -= quantity
        stocks[place_of(transfer.get("to"))] += quantity
    return state | {"stocks": [round(count, 2) for count in stocks]}
