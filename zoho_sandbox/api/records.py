"""List, detail, create, update, delete and status actions of one kind of record."""

from flask import Blueprint, Response, request

from zoho_sandbox.answers import encoded_answer, json_answer, single_answer
from zoho_sandbox.api.bodies import written_payload
from zoho_sandbox.api.gate import current_sandbox
from zoho_sandbox.collection import Facets
from zoho_sandbox.query import read_query
from zoho_sandbox.records import Record
from zoho_sandbox.writes import WRITES, create, delete, update


def add_record_routes(api: Blueprint, path: str, plural: str, fixed: Facets) -> None:
    """Add the routes of the records called `plural` under `path`; `fixed` is what the path filters by."""
    routes = _RecordRoutes(plural, fixed)
    one = f"/{path}/<record_id>"
    api.add_url_rule(f"/{path}", f"{path}_list", routes.list_page, methods=["GET"])
    api.add_url_rule(f"/{path}", f"{path}_create", routes.create, methods=["POST"])
    api.add_url_rule(one, f"{path}_detail", routes.detail, methods=["GET"])
    api.add_url_rule(one, f"{path}_update", routes.update, methods=["PUT"])
    api.add_url_rule(one, f"{path}_delete", routes.delete, methods=["DELETE"])
    for action, status in WRITES[plural].actions.items():
        name = f"{path}_{action.replace('/', '_')}"
        api.add_url_rule(f"{one}/{action}", name, routes.act, methods=["POST"], defaults={"status": status})


class _RecordRoutes:
    """The views of one kind of record."""

    def __init__(self, plural: str, fixed: Facets) -> None:
        self.plural = plural
        self.fixed = fixed

    def list_page(self) -> Response:
        sandbox = current_sandbox()
        world = sandbox.world
        shape = world.collections[self.plural].shape
        query = read_query(shape, request.args, world.clock, sandbox.default_filter, self.fixed)
        with world.lock:
            return encoded_answer(world.pages[self.plural].page(query))

    def detail(self, record_id: str) -> Response:
        world = current_sandbox().world
        with world.lock:
            return self._single(world.find(self.plural, record_id))

    def create(self) -> Response:
        payload = dict(self.fixed) | written_payload()
        if self.plural == "invoices" and request.args.get("send") == "true":
            payload["status"] = "sent"
        else:
            # Only a status action (or `send`) moves a record on: a written status is not looked at.
            payload.pop("status", None)
        record = create(current_sandbox().world, self.plural, payload)
        return self._single(record, f"The {self._noun()} has been created.", 201)

    def update(self, record_id: str) -> Response:
        payload = written_payload()
        for untouchable in ("status", "payment_made", "stock_on_hand"):
            payload.pop(untouchable, None)
        record = update(current_sandbox().world, self.plural, record_id, payload)
        return self._single(record, f"The {self._noun()} has been updated.")

    def delete(self, record_id: str) -> Response:
        noun = self._noun()
        delete(current_sandbox().world, self.plural, record_id)
        return json_answer({"code": 0, "message": f"The {noun} has been deleted."})

    def act(self, record_id: str, status: str) -> Response:
        update(current_sandbox().world, self.plural, record_id, {"status": status})
        return json_answer({"code": 0, "message": f"The {self._noun()} has been marked as {status}."})

    def _noun(self) -> str:
        return current_sandbox().world.collections[self.plural].shape.singular

    def _single(self, record: Record, message: str = "success", status: int = 200) -> Response:
        collection = current_sandbox().world.collections[self.plural]
        return single_answer(collection.shape.singular, collection.detail(record), message, status)
