"""Writing contacts: display names are unique, and whoever was invoiced stays."""

from collections.abc import Mapping
from typing import Any, ClassVar

from zoho_sandbox.api_errors import RefusalError, invalid_value
from zoho_sandbox.record import Record, State
from zoho_sandbox.world import World
from zoho_sandbox.writes import fields
from zoho_sandbox.writes.side_effects import NO_EFFECTS, Effects

_READERS: dict[str, fields.Reader] = {
    "contact_name": fields.needed_text,
    "contact_type": fields.choice("customer", "vendor"),
    "customer_sub_type": fields.choice("business", "individual"),
    "status": fields.choice("active", "inactive"),
    "payment_terms": fields.whole,
    **dict.fromkeys(
        (
            *("company_name", "email", "phone", "mobile", "first_name", "last_name", "website", "notes"),
            *("payment_terms_label", "designation", "department", "city", "street", "zip"),
        ),
        fields.text,
    ),
}
_ADDRESS = {"address": "street", "city": "city", "zip": "zip"}
_PERSON = ("first_name", "last_name", "email", "phone", "mobile")


class ContactWrites:
    """The rules for writing contacts."""

    actions: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "active": {"status": "active"},
        "inactive": {"status": "inactive"},
    }

    def created(self, world: World, payload: Mapping[str, Any]) -> State:
        if "contact_name" not in payload:
            raise invalid_value("contact_name")
        state: State = {"contact_type": "customer", "status": "active", **self._read(world, payload)}
        state.setdefault("company_name", "")
        self._check_name(world, state)
        return state

    def changed(self, world: World, record: Record, payload: Mapping[str, Any]) -> State:
        read = self._read(world, payload)
        if not world.contacts_change_sides:
            read.pop("contact_type", None)
        state = record.state | read
        if state["contact_name"].lower() != record.state["contact_name"].lower():
            self._check_name(world, state)
        return state

    def check_deletable(self, world: World, record: Record) -> None:
        if world.uses[record.id] > 0:
            raise RefusalError(
                400, 3057, "This contact cannot be deleted as transactions are associated with it. Mark it as inactive."
            )

    def effects(self, state: State) -> Effects:  # noqa: ARG002 - a contact changes nothing but itself
        return NO_EFFECTS

    def _read(self, world: World, payload: Mapping[str, Any]) -> State:
        read = fields.read_fields(_READERS, payload)
        address = payload.get("billing_address")
        if isinstance(address, dict):
            read |= {
                ours: fields.text(theirs, address[theirs]) for theirs, ours in _ADDRESS.items() if theirs in address
            }
        persons = payload.get("contact_persons")
        if isinstance(persons, list) and persons and isinstance(persons[0], dict):
            read |= {name: fields.text(name, persons[0][name]) for name in _PERSON if name in persons[0]}
        custom = world.organization.custom_fields["contacts"].api_name
        return read | fields.read_custom(custom, payload)

    def _check_name(self, world: World, state: State) -> None:
        if world.name_is_taken("contacts", state["contact_name"]):
            raise RefusalError(
                400,
                3062,
                f'The {state["contact_type"]} "{state["contact_name"]}" already exists. '
                "Please specify a different name.",
            )
