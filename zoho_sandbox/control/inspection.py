"""Routes that show the state: counts, every live record in full, the ids of the deleted."""

import json
from collections.abc import Iterator
from itertools import islice

from flask import Blueprint, Response, request

from zoho_sandbox.api.faulty_responses import STREAMED
from zoho_sandbox.api.middleware import current_sandbox
from zoho_sandbox.collection import Collection
from zoho_sandbox.json_responses import json_answer

_DUMP_LINES = 500


def add_view_routes(control: Blueprint) -> None:
    control.add_url_rule("/state", view_func=state, methods=["GET"])
    control.add_url_rule("/dump/<plural>", view_func=dump, methods=["GET"])
    control.add_url_rule("/deleted/<plural>", view_func=deleted, methods=["GET"])
    control.add_url_rule("/calls", view_func=calls, methods=["GET"])
    control.add_url_rule("/calls", view_func=forget_calls, methods=["DELETE"])


def _collection(plural: str) -> Collection:
    collections = current_sandbox().world.collections
    if plural not in collections:
        raise ValueError(f"unknown records {plural!r}; known are {', '.join(collections)}")
    return collections[plural]


def state() -> Response:
    """Everything countable, on one page."""
    sandbox = current_sandbox()
    world, quota = sandbox.world, sandbox.quota
    with world.lock:
        entities = {
            name: {"live": len(held.records), "deleted": len(held.deleted)} for name, held in world.collections.items()
        }
        changes = dict(world.changes)
    return json_answer(
        {
            "organization_id": world.organization.id,
            "now": world.clock.stamp(world.clock.now()),
            "entities": entities,
            "changes": changes,
            "api_calls": sandbox.call_log.table(accounts=False),
            "quota_used": quota.used(),
            "limits": sandbox.limits(),
            "faults": sandbox.faults.state(),
            "outage": sandbox.outage.state(),
            "webhook_faults": sandbox.webhooks.faults,
            "deliveries": sandbox.webhooks.state(),
            "edits": sandbox.stream.state(),
            "live_token_count": sandbox.accounts.live_token_count(),
            "stock_bumps_modified": world.stock_bumps_modified,
        }
    )


def dump(plural: str) -> Response:
    """Every live record in full, also what its list alone shows; one JSON object a line, in order of id."""
    collection, lock = _collection(plural), current_sandbox().world.lock
    with lock:
        records = sorted(collection.records.values(), key=lambda record: record.id)
        odd = {*collection.odd_rows, *collection.odd_details}
        rows = [None if record.id in odd else collection.row(record) for record in records]
        details = collection.details(records)

    def lines() -> Iterator[bytes]:
        whole = (_whole(row, detail) for row, detail in zip(rows, details, strict=True))
        while part := list(islice(whole, _DUMP_LINES)):
            yield b"\n".join(part) + b"\n"

    request.environ[STREAMED] = True
    return Response(lines(), content_type="application/x-ndjson")


def _whole(row: bytes | None, detail: bytes) -> bytes:
    return detail if row is None else json.dumps({**json.loads(row), **json.loads(detail)}).encode()


def deleted(plural: str) -> Response:
    collection = _collection(plural)
    with current_sandbox().world.lock:
        return json_answer({"ids": sorted(collection.deleted)})


def calls() -> Response:
    """Counts of all calls by endpoint and status, and the latest: `?after=`, `limit=`, `status=`, `path_prefix=`."""
    asked, log = request.args, current_sandbox().call_log
    found = log.rows(
        after=int(asked.get("after", "0")),
        limit=int(asked.get("limit", "1000")),
        status=int(asked["status"]) if "status" in asked else None,
        path_prefix=asked.get("path_prefix", ""),
    )
    return json_answer({"counts": log.table(accounts=True), "calls": found})


def forget_calls() -> Response:
    current_sandbox().call_log.forget()
    return json_answer({})
