"""A small sandbox in this process with a clock one can turn, and a listener for its webhooks."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from zoho_sandbox.app import create_app
from zoho_sandbox.clock import OrgClock
from zoho_sandbox.sandbox import Sandbox
from zoho_sandbox.settings import Settings

ORG = "876543210"
SMALL = Settings(
    products=450,
    customers=60,
    vendors=9,
    orders=40,
    invoices=30,
    payments=20,
    bills=15,
    credit_notes=8,
    adjustments=10,
    price_lists=3,
    prices=100,
    users=5,
    as_of="2026-11-22",
)
FREE = {"calls_per_minute": 0, "calls_per_day": 0, "concurrent_calls": 0, "webhooks_per_day": 0}


class TurnableClock:
    """Real time plus what a test adds."""

    def __init__(self) -> None:
        self.added_seconds = 0.0

    def __call__(self) -> float:
        return time.time() + self.added_seconds


@dataclass
class Caller:
    """A client with a token and the organisation's id in hand."""

    client: FlaskClient
    token: str
    root: str = "/books/v3"

    def __call__(self, method: str, path: str, body: Any = None, **params: Any) -> TestResponse:
        return self.client.open(
            self.root + path,
            method=method,
            query_string={"organization_id": ORG, **params},
            data=None if body is None else msgspec.json.encode(body),
            content_type="application/json",
            headers={"Authorization": f"Zoho-oauthtoken {self.token}"},
        )

    def get(self, path: str, **params: Any) -> Any:
        answer = self("GET", path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json

    def ids(self, plural: str, key: str, **params: Any) -> list[str]:
        """The ids of every page of a list."""
        found, page = [], 1
        while True:
            body = self.get(f"/{plural}", page=page, **params)
            found += [row[key] for row in body[plural]]
            if not body["page_context"]["has_more_page"]:
                return found
            page += 1


@pytest.fixture
def turnable() -> TurnableClock:
    return TurnableClock()


@pytest.fixture
def sandbox(turnable: TurnableClock) -> Iterator[Sandbox]:
    sandbox = Sandbox(msgspec.structs.replace(SMALL, **FREE), OrgClock("+0300", turnable))
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def client(sandbox: Sandbox) -> FlaskClient:
    return create_app(sandbox).test_client()


@pytest.fixture
def books(sandbox: Sandbox, client: FlaskClient) -> Caller:
    return Caller(client, sandbox.accounts.issue_freely())


@pytest.fixture
def inventory(books: Caller) -> Caller:
    return Caller(books.client, books.token, "/inventory/v1")


@pytest.fixture
def control(client: FlaskClient) -> Callable[..., Any]:
    """Calls the control interface and answers what it says."""

    def call(method: str, path: str, body: Any = None, expect: int = 200) -> Any:
        answer = client.open(f"/_control{path}", method=method, json=body)
        assert answer.status_code == expect, answer.text
        return answer.json

    return call


@dataclass
class Heard:
    """One delivery as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    peer: tuple[str, int]

    def record(self) -> dict[str, Any]:
        return next(iter(msgspec.json.decode(self.body).values()))


@dataclass
class Listener:
    """A small web server that keeps what it hears and answers with the next of `statuses`, else 200."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()

    class Listening(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            listener.heard.append(Heard(self.path, dict(self.headers), body, self.client_address))
            self.send_response(listener.statuses.pop(0) if listener.statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = do_POST  # noqa: N815 - the name the server calls

        def log_message(self, *_arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listening)
    server.daemon_threads = True
    listener.url = f"http://127.0.0.1:{server.server_port}/hook"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield listener
    server.shutdown()
    server.server_close()
