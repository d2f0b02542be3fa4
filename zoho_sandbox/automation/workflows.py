"""A workflow rule: on which change of which records it acts, and which webhook it calls."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from zoho_sandbox.api_errors import invalid_value
from zoho_sandbox.webhooks.rules import MODULES, Event

# `add` and `add_edit` are known from use; what Zoho calls a rule for edits alone or for deletions is a guess.
EVENTS_OF: dict[str, tuple[Event, ...]] = {
    "add": ("created",),
    "edit": ("edited",),
    "add_edit": ("created", "edited"),
    "delete": ("deleted",),
}
_NAME_MAX = 100
_DESCRIPTION_MAX = 1000


class Action(msgspec.Struct, frozen=True):
    """What a rule does at once; the sandbox carries out webhooks only."""

    action_type: str
    action_id: str = ""


class Workflow(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as a caller writes and reads it. Criteria are not looked at: a rule acts on every record."""

    workflow_id: str
    workflow_name: str
    entity: str
    rule_type: Literal["add", "edit", "add_edit", "delete"]
    description: str = ""
    status: Literal["active", "inactive"] = "active"
    instant_actions: tuple[Action, ...] = ()

    @property
    def webhook_ids(self) -> list[str]:
        """The webhooks it calls."""
        return [action.action_id for action in self.instant_actions if action.action_type == "webhook"]

    def shown(self) -> dict[str, Any]:
        """The rule as an answer carries it."""
        shown: dict[str, Any] = msgspec.to_builtins(self)
        return shown | {"is_active": self.status == "active"}


def written_workflow(current: Mapping[str, Any], payload: Mapping[str, Any]) -> Workflow:
    """`current` changed by what a caller sent; a status is changed by its own calls only."""
    fixed = ("workflow_id", "status")
    known = {name: payload[name] for name in Workflow.__struct_fields__ if name in payload and name not in fixed}
    merged = {"workflow_name": "", "entity": "", "rule_type": ""} | dict(current) | known
    fits = {
        "workflow_name": _is_text(merged["workflow_name"], _NAME_MAX) and bool(merged["workflow_name"].strip()),
        "description": _is_text(merged.get("description", ""), _DESCRIPTION_MAX),
        "entity": merged["entity"] in MODULES,
        "rule_type": merged["rule_type"] in EVENTS_OF,
    }
    for name, is_fit in fits.items():
        if not is_fit:
            raise invalid_value(name)
    try:
        return msgspec.convert(merged, Workflow)
    except msgspec.ValidationError:
        raise invalid_value("instant_actions") from None


def _is_text(value: Any, longest: int) -> bool:
    return isinstance(value, str) and len(value) <= longest
