"""Writing items: names are unique, stock is set in the main location, and what was invoiced stays."""

from collections.abc import Mapping
from typing import Any, ClassVar

from zoho_sandbox.records import Record, State
from zoho_sandbox.refusals import RefusalError, invalid_value
from zoho_sandbox.world import World
from zoho_sandbox.writes import fields

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


class ItemWrites:
    """The rules for writing items."""

    actions: ClassVar[Mapping[str, str]] = {"active": "active", "inactive": "inactive"}

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
        return self._stocked(state, payload)

    def changed(self, world: World, record: Record, payload: Mapping[str, Any]) -> State:
        read = self._read(world, payload)
        if read.get("name", "").lower() not in ("", record.state["name"].lower()):
            self._check_name(world, read["name"])
        # Whether an item is kept in stock is settled when it is made.
        read.pop("product_type", None)
        return self._stocked(record.state | read, payload)

    def check_deletable(self, world: World, record: Record) -> None:
        if world.uses[record.id] > 0:
            raise RefusalError(
                400,
                2006,
                "Items which are a part of other transactions cannot be deleted. Instead, mark them as inactive.",
            )

    def _read(self, world: World, payload: Mapping[str, Any]) -> State:
        custom = world.organization.custom_fields["items"].api_name
        return fields.read_fields(_READERS, payload) | fields.read_custom(custom, payload)

    def _check_name(self, world: World, name: str) -> None:
        if world.name_is_taken("items", name):
            raise RefusalError(400, 1001, f'Item "{name}" already exists.')

    def _stocked(self, state: State, payload: Mapping[str, Any]) -> State:
        if "stock_on_hand" not in payload or "stocks" not in state:
            return state
        wanted = fields.number("stock_on_hand", payload["stock_on_hand"])
        others = list(state["stocks"][1:])
        return state | {"stocks": [round(wanted - sum(others), 2), *others]}
