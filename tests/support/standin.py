"""A stand-in for Zoho inside the test's process: real HTTP, one organisation a test, edits between two calls."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from flask import Flask, request
from werkzeug.serving import WSGIRequestHandler, make_server

from zoho_sandbox import writes
from zoho_sandbox.api_faults import Appointment
from zoho_sandbox.app import create_app
from zoho_sandbox.clock import OrgClock
from zoho_sandbox.record import Record
from zoho_sandbox.sandbox import Sandbox
from zoho_sandbox.settings import Settings

SMALL = Settings(
    products=45,
    customers=12,
    vendors=5,
    invoices=25,
    orders=15,
    payments=12,
    bills=8,
    credit_notes=12,
    adjustments=5,
    price_lists=3,
    prices=40,
    users=4,
    as_of="2026-11-20",
    calls_per_minute=0,
    calls_per_day=0,
    concurrent_calls=0,
    token_refreshes=0,
    webhooks_per_day=0,
)


@dataclass
class StandIn:
    """The organisation, where it answers, and what it was asked. `before_call` runs before each API call."""

    sandbox: Sandbox
    url: str
    calls: list[str] = field(default_factory=list)
    before_call: Callable[[str, Mapping[str, str]], None] = lambda path, query: None

    @property
    def settings(self) -> dict[str, str]:
        """The environment that leads TDS here."""
        given = self.sandbox.settings
        return {
            "ZOHO_ACCOUNTS_URL": self.url,
            "ZOHO_API_URL": self.url,
            "ZOHO_CLIENT_ID": given.client_id,
            "ZOHO_CLIENT_SECRET": given.client_secret,
            "ZOHO_REFRESH_TOKEN": given.refresh_token,
            "ZOHO_ORGANIZATION_ID": given.organization_id,
            "ZOHO_CALLS_PER_MINUTE": str(given.calls_per_minute),
            "ZOHO_BOOKS_CALLS_PER_DAY": str(given.calls_per_day),
            "ZOHO_INVENTORY_CALLS_PER_DAY": str(given.calls_per_day),
            "ZOHO_CONCURRENT_CALLS": str(given.concurrent_calls),
        }

    @property
    def token_call_count(self) -> int:
        return sum(path == "/oauth/v2/token" for path in self.calls)

    def ids(self, plural: str) -> list[str]:
        """The living records' ids, the longest unchanged first."""
        return [record_id for _, record_id in self.sandbox.world.collections[plural].view((), "last_modified_time")]

    def detail(self, plural: str, record_id: str) -> dict[str, Any]:
        """A record as its detail call shows it."""
        collection = self.sandbox.world.collections[plural]
        return msgspec.json.decode(collection.detail(collection.records[record_id]))

    def edit(self, plural: str, record_id: str, **changes: Any) -> Record:
        with self.sandbox.world.lock:
            return writes.update(self.sandbox.world, plural, record_id, changes)

    def create(self, plural: str, **values: Any) -> Record:
        with self.sandbox.world.lock:
            return writes.create(self.sandbox.world, plural, values)

    def delete(self, plural: str, record_id: str) -> None:
        """Take a record away, whatever stands on it."""
        world = self.sandbox.world
        with world.lock:
            world.delete(plural, world.find(plural, record_id))

    def fail(self, kind: str, path_prefix: str = "", count: int = 1, seconds: float = 1.0) -> None:
        """The next `count` calls under `path_prefix` meet this fault."""
        self.sandbox.faults.appoint(Appointment(kind, count, path_prefix, seconds))


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_arguments: object) -> None:
        """Quiet."""


@contextmanager
def serving(settings: Settings = SMALL, clock: Callable[[], float] | None = None) -> Iterator[StandIn]:
    """A stand-in that answers until the block ends."""
    sandbox = Sandbox(settings, OrgClock("+0300", clock) if clock else OrgClock("+0300"))
    app: Flask = create_app(sandbox)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    standin = StandIn(sandbox, f"http://127.0.0.1:{server.server_port}")

    def watch() -> None:
        standin.calls.append(request.path)
        standin.before_call(request.path, request.args)

    app.before_request(watch)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield standin
    server.shutdown()
    server.server_close()
    thread.join()


def names(standin: StandIn) -> dict[str, tuple[str]]:
    """The living items' names by id, as `World.mirror("product", "name")` should have them."""
    items = standin.sandbox.world.collections["items"].records
    return {record_id: (record.state["name"],) for record_id, record in items.items()}


def before_page(standin: StandIn, number: int, do: Callable[[], object]) -> None:
    """Do something when list call number `number` (from 1) arrives, before it is answered."""
    seen: list[str] = []

    def watch(path: str, query: Mapping[str, str]) -> None:
        if "page" in query:
            seen.append(path)
            if len(seen) == number:
                do()

    standin.before_call = watch
