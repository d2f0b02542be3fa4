"""Writing simple records: price lists, users, taxes, item categories and locations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zoho_sandbox.api_errors import RefusalError, invalid_value
from zoho_sandbox.record import Record, State
from zoho_sandbox.world import World
from zoho_sandbox.writes import fields
from zoho_sandbox.writes.side_effects import NO_EFFECTS, Effects

_SWITCH = {"active": {"status": "active"}, "inactive": {"status": "inactive"}}
_ON_OFF = fields.choice("active", "inactive")


@dataclass(frozen=True, kw_only=True)
class PlainWrites:
    """The rules of one kind: its fields, which of them must be there, and the one that is given once."""

    name: str
    readers: Mapping[str, fields.Reader]
    needed: tuple[str, ...]
    name_key: str
    usual: Mapping[str, Any] = field(default_factory=dict)
    actions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    read_more: Callable[[World, State, Mapping[str, Any]], State] = lambda _world, state, _payload: state

    def created(self, world: World, payload: Mapping[str, Any]) -> State:
        for needed in self.needed:
            if needed not in payload:
                raise invalid_value(needed)
        return self._read(world, dict(self.usual), payload)

    def changed(self, world: World, record: Record, payload: Mapping[str, Any]) -> State:
        return self._read(world, record.state, payload)

    def check_deletable(self, world: World, record: Record) -> None:
        if record.id == world.organization.user_id:
            raise RefusalError(400, 1003, "You cannot delete yourself.")

    def effects(self, state: State) -> Effects:  # noqa: ARG002 - they change nothing but themselves
        return NO_EFFECTS

    def _read(self, world: World, before: State, payload: Mapping[str, Any]) -> State:
        state = before | fields.read_fields(self.readers, payload)
        given = state[self.name_key]
        if given.lower() != before.get(self.name_key, "").lower() and world.name_is_taken(self.name, given):
            raise RefusalError(400, 1001, f'"{given}" already exists.')
        return self.read_more(world, state, payload)


def _prices(world: World, state: State, payload: Mapping[str, Any]) -> State:
    """`pricebook_items` are all prices there shall be; `prices` ({item id: rate, or nothing}) changes a few."""
    written, few = payload.get("pricebook_items"), payload.get("prices", {})
    if written is not None:
        if not isinstance(written, list) or not all(isinstance(price, dict) for price in written):
            raise invalid_value("pricebook_items")
        few = {str(price.get("item_id", "")): price.get("pricebook_rate") for price in written}
    known = state.get("prices", {})
    prices = {} if written is not None else dict(known)
    for item_id, rate in few.items():
        if rate is None:
            prices.pop(item_id, None)
            continue
        price_id = known[item_id][0] if item_id in known else world.new_id()
        prices[world.find("items", item_id).id] = (price_id, fields.amount("pricebook_rate", rate))
    return state | {"prices": prices}


PRICE_LIST_WRITES = PlainWrites(
    name="pricebooks",
    name_key="name",
    needed=("name",),
    usual={"status": "active", "pricebook_type": "per_item"},
    readers={
        "name": fields.needed_text,
        "description": fields.text,
        "percentage": fields.amount,
        "is_increase": fields.mark,
        "pricebook_type": fields.choice("per_item", "fixed_percentage"),
        "sales_or_purchase_type": fields.choice("sales", "purchases"),
        "rounding_type": fields.text,
        "status": _ON_OFF,
    },
    actions=_SWITCH,
    read_more=_prices,
)
USER_WRITES = PlainWrites(
    name="users",
    name_key="email",
    needed=("name", "email"),
    usual={"status": "invited", "user_role": "staff"},
    readers={
        **dict.fromkeys(("name", "email"), fields.needed_text),
        **dict.fromkeys(("role_id", "user_role", "mobile"), fields.text),
        "status": fields.choice("active", "inactive", "invited"),
    },
    actions=_SWITCH | {"invite": {"status": "invited"}},
)
TAX_WRITES = PlainWrites(
    name="taxes",
    name_key="tax_name",
    needed=("tax_name", "tax_percentage"),
    readers={"tax_name": fields.needed_text, "tax_percentage": fields.amount, "tax_type": fields.text},
)
CATEGORY_WRITES = PlainWrites(
    name="categories",
    name_key="name",
    needed=("name",),
    usual={"status": "active"},
    readers={**dict.fromkeys(("description", "parent_category_id"), fields.text), "name": fields.needed_text},
)
LOCATION_WRITES = PlainWrites(
    name="locations",
    name_key="location_name",
    needed=("location_name",),
    usual={"status": "active", "is_primary": False},
    readers={
        **dict.fromkeys(("email", "phone", "parent_location_id"), fields.text),
        "location_name": fields.needed_text,
        "status": _ON_OFF,
    },
)
