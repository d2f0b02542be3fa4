"""Routes of one kind of record: list, detail, create, update, delete and actions."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, g, request

from zoho_sandbox.api.middleware import current_sandbox
from zoho_sandbox.api.request_body import written_payload
from zoho_sandbox.collection import Facets
from zoho_sandbox.json_responses import encoded_answer, json_answer, single_answer
from zoho_sandbox.list_query import read_query
from zoho_sandbox.record import Record
from zoho_sandbox.writes import WRITES, create, delete, update
from zoho_sandbox.writes.items import STOCK_FIELDS

# What only actions, other records and the control interface move: written as a field it is not looked at.
_UNTOUCHABLE = ("status", "payment_made", "pay", "prices", *STOCK_FIELDS)


def add_record_routes(api: Blueprint, path: str, name: str, fixed: Facets) -> None:
    """Add the routes of the collection `name` under `path`; `fixed` is what the path filters by."""
    routes = _RecordRoutes(api.name, name, fixed)
    one = f"/{path}/<record_id>"
    api.add_url_rule(f"/{path}", f"{path}_list", routes.list_page, methods=["GET"])
    api.add_url_rule(f"/{path}", f"{path}_create", routes.create, methods=["POST"])
    api.add_url_rule(one, f"{path}_detail", routes.detail, methods=["GET"])
    api.add_url_rule(one, f"{path}_update", routes.update, methods=["PUT"])
    api.add_url_rule(one, f"{path}_delete", routes.delete, methods=["DELETE"])
    for action, changes in WRITES[name].actions.items():
        named = f"{path}_{action}"
        api.add_url_rule(f"{one}/{action}", named, routes.act, methods=["POST"], defaults={"changes": changes})
    if name == "users":
        api.add_url_rule("/users/me", "users_me", routes.me, methods=["GET"])
    if name == "creditnotes":
        api.add_url_rule(f"{one}/invoices", "creditnotes_apply", routes.apply, methods=["POST"])


class _RecordRoutes:
    """The views of one kind of record under one product."""

    def __init__(self, product: str, name: str, fixed: Facets) -> None:
        self.product = product
        self.name = name
        self.fixed = fixed

    def list_page(self) -> Response:
        sandbox = current_sandbox()
        world, shape = sandbox.world, sandbox.world.collections[self.name].shape
        heeds_time = self.product in shape.incremental or (sandbox.undocumented_filters and bool(shape.incremental))
        asked = request.args.to_dict()
        if (fault := g.get("fault")) and fault.kind == "filter_ignored":
            asked = {name: value for name, value in asked.items() if name not in shape.facets}
        query = read_query(
            shape,
            asked,
            world.organization,
            default_filter=sandbox.default_filter,
            heeds_time=heeds_time,
            fixed=self.fixed,
            order=world.pages[self.name].switches.order,
        )
        with world.lock:
            return encoded_answer(world.pages[self.name].page(query))

    def detail(self, record_id: str) -> Response:
        world = current_sandbox().world
        with world.lock:
            return self._single(world.find(self.name, record_id))

    def me(self) -> Response:
        return self.detail(current_sandbox().world.organization.user_id)

    def create(self) -> Response:
        payload = dict(self.fixed) | self._written()
        if self.name == "invoices" and request.args.get("send") == "true":
            payload["status"] = "sent"
        record = create(current_sandbox().world, self.name, payload)
        return self._single(record, f"The {self._noun()} has been created.", 201)

    def update(self, record_id: str) -> Response:
        record = update(current_sandbox().world, self.name, record_id, self._written())
        return self._single(record, f"The {self._noun()} has been updated.")

    def apply(self, record_id: str) -> Response:
        update(current_sandbox().world, self.name, record_id, {"invoices": self._written().get("invoices")})
        return json_answer({"code": 0, "message": "Credits have been applied to the invoice(s)."})

    def delete(self, record_id: str) -> Response:
        noun = self._noun()
        delete(current_sandbox().world, self.name, record_id)
        return json_answer({"code": 0, "message": f"The {noun} has been deleted."})

    def act(self, record_id: str, changes: Mapping[str, Any]) -> Response:
        update(current_sandbox().world, self.name, record_id, changes)
        return json_answer({"code": 0, "message": f"The {self._noun()} has been marked as {changes['status']}."})

    def _written(self) -> dict[str, Any]:
        return {key: value for key, value in written_payload().items() if key not in _UNTOUCHABLE}

    def _noun(self) -> str:
        return current_sandbox().world.collections[self.name].shape.noun.lower()

    def _single(self, record: Record, message: str = "success", status: int = 200) -> Response:
        collection = current_sandbox().world.collections[self.name]
        return single_answer(collection.shape.singular, collection.detail(record), message, status)
