"""Writing documents with lines: a known customer or vendor, known items, a number given once, a status by rule."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from zoho_sandbox.api_errors import RefusalError, invalid_value
from zoho_sandbox.entities.document_common import totals
from zoho_sandbox.record import Record, State
from zoho_sandbox.world import World
from zoho_sandbox.writes import fields
from zoho_sandbox.writes.side_effects import NO_EFFECTS, Effects

_TERM_DAYS = 15
_COMMON: dict[str, fields.Reader] = {
    "date": fields.day,
    "due_date": fields.day,
    "shipping_charge": fields.amount,
    "adjustment": fields.number,
    "payment_terms": fields.whole,
    **dict.fromkeys(("reference_number", "notes", "terms", "salesperson_name"), fields.text),
}


@dataclass(frozen=True, kw_only=True)
class DocumentWrites:
    """The rules of one kind of document. `check` refuses a state that cannot be, `check_gone` a deletion."""

    name: str
    prefix: str
    party: str
    statuses: tuple[str, ...]
    first_status: str
    actions: Mapping[str, Mapping[str, Any]]
    readers: Mapping[str, fields.Reader] = field(default_factory=dict)
    # Amounts a line may carry besides rate, quantity and discount; `marks` are yes or no.
    line_amounts: tuple[str, ...] = ()
    line_marks: tuple[str, ...] = ()
    has_due_date: bool = False
    settle: Callable[[World, State, Mapping[str, Any]], State] = lambda _world, state, _payload: state
    check_gone: Callable[[State], None] = lambda _state: None
    effects: Callable[[State], Effects] = lambda _state: NO_EFFECTS

    @property
    def number_key(self) -> str:
        return self.name.removesuffix("s") + "_number"

    def created(self, world: World, payload: Mapping[str, Any]) -> State:
        for needed in (f"{self.party}_id", "line_items"):
            if not payload.get(needed):
                raise invalid_value(needed)
        today = world.clock.date(world.clock.now())
        state: State = {"status": self.first_status, "date": today, **self._read(world, payload, [])}
        if self.has_due_date:
            due = date.fromisoformat(state["date"]) + timedelta(days=_TERM_DAYS)
            state.setdefault("due_date", due.isoformat())
        if self.number_key not in state:
            state[self.number_key] = world.new_number(self.prefix)
        self._check_number(world, state[self.number_key])
        return self.settle(world, state, payload)

    def changed(self, world: World, record: Record, payload: Mapping[str, Any]) -> State:
        state = record.state | self._read(world, payload, record.state["lines"])
        if state[self.number_key] != record.state[self.number_key]:
            self._check_number(world, state[self.number_key])
        return self.settle(world, state, payload)

    def check_deletable(self, world: World, record: Record) -> None:
        if world.uses[record.id] > 0:
            raise RefusalError(400, 4037, "This transaction cannot be deleted as others are associated with it.")
        self.check_gone(record.state)

    def _read(self, world: World, payload: Mapping[str, Any], lines: list[dict[str, Any]]) -> State:
        known = {self.number_key: fields.needed_text, f"{self.party}_id": fields.needed_text}
        status = {"status": fields.choice(*self.statuses)}
        read = fields.read_fields({**_COMMON, **known, **status, **self.readers}, payload)
        if f"{self.party}_id" in read:
            read |= read_party(world, self.party, read[f"{self.party}_id"])
        if "line_items" in payload:
            read["lines"] = read_lines(world, payload["line_items"], lines, self._line)
        return read | fields.read_custom(world.organization.custom_fields[self.name].api_name, payload)

    def _line(self, item: State, line: Mapping[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        usual = {"rate": item["rate"], "quantity": 1.0, "tax_percentage": item.get("tax_percentage", 0)}
        names = ("rate", "quantity", "discount", *self.line_amounts)
        amounts = {name: fields.amount(name, line[name]) for name in names if name in line}
        marks = {name: bool(line[name]) for name in self.line_marks if name in line}
        return (
            usual | known | amounts | marks | {"description": fields.text("description", line.get("description", ""))}
        )

    def _check_number(self, world: World, number: str) -> None:
        if world.name_is_taken(self.name, number):
            raise RefusalError(400, 1001, f'The number "{number}" already exists.')


def read_party(world: World, party: str, contact_id: str) -> State:
    """The customer or vendor a record is for, with the name kept on it."""
    contact = world.find("contacts", contact_id)
    if contact.state["contact_type"] != party:
        raise invalid_value(f"{party}_id")
    name = {f"{party}_id": contact.id, f"{party}_name": contact.state["contact_name"]}
    return name | ({"company_name": contact.state.get("company_name", "")} if party == "customer" else {})


def read_lines(
    world: World,
    written: Any,
    lines: Iterable[dict[str, Any]],
    read_line: Callable[[State, Mapping[str, Any], dict[str, Any]], dict[str, Any]],
) -> list[dict[str, Any]]:
    """The written lines; those that name a line known already change it, the others are new."""
    if not isinstance(written, list) or not written or not all(isinstance(line, dict) for line in written):
        raise invalid_value("line_items")
    by_id = {line["line_item_id"]: line for line in lines}
    read = []
    for line in written:
        known = by_id.get(str(line.get("line_item_id", "")), {})
        item = world.find("items", str(line.get("item_id") or known.get("item_id", "")))
        if known.get("item_id") != item.id:
            line_id = known.get("line_item_id") or world.new_id()
            named = {"item_id": item.id, "sku": item.state.get("sku", ""), "name": item.state["name"]}
            known = {"line_item_id": line_id} | named
        place = line.get("location_id") or line.get("warehouse_id")
        if place:
            known = known | {"location": world.organization.place_of(str(place))}
        read.append(read_line(item.state, line, known))
    return read


def check_not_overpaid(state: State) -> None:
    """Refuse more money than is owed."""
    if totals(state)["balance"] < -0.005:
        raise RefusalError(400, 24016, "The amount entered is more than the balance due for the transaction.")
