"""Writing inventory adjustments: stock goes up or down at one location; deleting one takes that back."""

from collections.abc import Mapping
from typing import Any, ClassVar

from zoho_sandbox.api_errors import invalid_value
from zoho_sandbox.entities.inventoryadjustments import REASONS, STATUSES
from zoho_sandbox.record import Record, State
from zoho_sandbox.world import World
from zoho_sandbox.writes import fields
from zoho_sandbox.writes.documents import read_lines
from zoho_sandbox.writes.side_effects import NO_EFFECTS, Effects, line_stock

_READERS: dict[str, fields.Reader] = {
    "date": fields.day,
    "reason": fields.choice(*REASONS),
    "adjustment_type": fields.choice("quantity", "value"),
    "status": fields.choice(*STATUSES),
    **dict.fromkeys(("description", "reference_number"), fields.text),
}


class AdjustmentWrites:
    """The rules for writing inventory adjustments."""

    actions: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def created(self, world: World, payload: Mapping[str, Any]) -> State:
        if not payload.get("line_items"):
            raise invalid_value("line_items")
        state: State = {
            "date": world.clock.date(world.clock.now()),
            "reason": REASONS[0],
            "adjustment_type": "quantity",
            "status": "adjusted",
            "location": 0,
            "lines": [],
        }
        return self._read(world, state, payload)

    def changed(self, world: World, record: Record, payload: Mapping[str, Any]) -> State:
        return self._read(world, record.state, payload)

    def check_deletable(self, world: World, record: Record) -> None:
        """Nothing stands on an adjustment."""

    def effects(self, state: State) -> Effects:
        if state["status"] != "adjusted" or state["adjustment_type"] != "quantity":
            return NO_EFFECTS
        lines = [line | {"location": state["location"]} for line in state["lines"]]
        return line_stock(lines, "stocks", "quantity_adjusted")

    def _read(self, world: World, before: State, payload: Mapping[str, Any]) -> State:
        state = before | fields.read_fields(_READERS, payload)
        place = payload.get("location_id") or payload.get("warehouse_id")
        if place:
            state["location"] = world.organization.place_of(str(place))
        if "line_items" in payload:
            state["lines"] = read_lines(world, payload["line_items"], before["lines"], _line)
        return state | fields.read_custom(world.organization.custom_fields["inventoryadjustments"].api_name, payload)


def _line(item: State, line: Mapping[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    names = ("quantity_adjusted", "value_adjusted")
    numbers = {name: fields.number(name, line[name]) for name in names if name in line}
    return {"rate": item.get("purchase_rate", 0.0)} | known | numbers
