"""Edits on demand: one at a time with the record as answer, or a stream of them."""

from typing import Any, Literal

import msgspec
from flask import Blueprint, Response

from zoho_sandbox.api.middleware import current_sandbox
from zoho_sandbox.control.request_parsing import body_as
from zoho_sandbox.json_responses import encoded_answer, json_answer
from zoho_sandbox.writes import create, delete, update

_COLLECTIONS = {
    **dict.fromkeys(("customer", "vendor", "contact"), "contacts"),
    **{shown: f"{shown}s" for shown in ("item", "salesorder", "invoice", "customerpayment", "bill", "creditnote")},
    **{shown: f"{shown}s" for shown in ("inventoryadjustment", "pricebook", "user", "location")},
    "tax": "taxes",
    "category": "categories",
}


class StreamWanted(msgspec.Struct, forbid_unknown_fields=True):
    """How a stream of edits should run."""

    rate_per_second: float
    mix: dict[str, float] | None = None
    seed: int | None = None
    seconds: float | None = None


class EditWanted(msgspec.Struct, forbid_unknown_fields=True):
    """One edit; an update or a deletion without an id takes the record created first."""

    module: str
    action: Literal["create", "update", "delete"]
    id: str = ""
    changes: dict[str, Any] = {}


def add_edit_routes(control: Blueprint) -> None:
    control.add_url_rule("/edits", view_func=edits, methods=["GET"])
    control.add_url_rule("/edits/start", view_func=start, methods=["POST"])
    control.add_url_rule("/edits/stop", view_func=stop, methods=["POST"])
    control.add_url_rule("/edit", view_func=edit, methods=["POST"])


def edits() -> Response:
    return json_answer(current_sandbox().stream.state())


def start() -> Response:
    wanted = body_as(StreamWanted)
    stream = current_sandbox().stream
    stream.start(wanted.rate_per_second, wanted.mix, wanted.seed, wanted.seconds)
    return json_answer(stream.state())


def stop() -> Response:
    return json_answer(current_sandbox().stream.stop())


def edit() -> Response:
    """The record after the edit, in full; for a deletion the last there was."""
    wanted, world = body_as(EditWanted), current_sandbox().world
    name = _COLLECTIONS.get(wanted.module, wanted.module)
    if name not in world.collections:
        raise ValueError(f"unknown module {wanted.module!r}; known are {', '.join(_COLLECTIONS)}")
    collection = world.collections[name]
    with world.lock:
        if wanted.action == "create":
            side = {"contact_type": wanted.module} if wanted.module in {"customer", "vendor"} else {}
            return encoded_answer(collection.detail(create(world, name, side | wanted.changes)), 201)
        record_id = wanted.id or _first(world.collections[name].view((), "created_time"))
        if wanted.action == "update":
            return encoded_answer(collection.detail(update(world, name, record_id, wanted.changes)))
        record = world.find(name, record_id)
        delete(world, name, record_id)
        return encoded_answer(collection.detail(record))


def _first(entries: list[tuple[Any, str]]) -> str:
    if not entries:
        raise ValueError("there is no record to edit")
    return entries[0][1]
