"""The sandbox as its users run it: a process of its own that says where it is, serves, and goes when told."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import ORG, Listener
from zoho_sandbox.webhooks.rules import MODULES


class Served:
    """A sandbox process and an API session for it."""

    def __init__(self) -> None:
        options = {"seed": 5, "products": 1000, "customers": 40, "vendors": 4, "orders": 30, "invoices": 20}
        options |= {"calls-per-minute": 0, "calls-per-day": 0, "webhooks-per-day": 0, "as-of": "2026-11-22"}
        command = [sys.executable, "-m", "zoho_sandbox", "--port", "0"]
        command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.ready: dict[str, Any] = json.loads(self.process.stdout.readline())
        self.url = self.ready["url"]
        self.session = requests.Session()
        asked = {key: self.ready[key] for key in ("client_id", "client_secret", "refresh_token")}
        answer = self.session.post(f"{self.url}/oauth/v2/token", data={"grant_type": "refresh_token", **asked})
        self.session.headers["Authorization"] = f"Zoho-oauthtoken {answer.json()['access_token']}"
        assert answer.json()["api_domain"] == self.url

    def get(self, path: str, **params: Any) -> requests.Response:
        return self.session.get(self.url + path, params={"organization_id": ORG, **params}, timeout=10)

    def control(self, path: str, body: Any) -> Any:
        return self.session.post(f"{self.url}/_control{path}", json=body, timeout=30).json()

    def stop(self, with_signal: int) -> int:
        self.process.send_signal(with_signal)
        return self.process.wait(10)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = Served()
    yield served
    if served.process.poll() is None:
        served.stop(signal.SIGTERM)


def test_it_says_where_it_is_and_who_it_is(served: Served) -> None:
    assert served.url.startswith("http://127.0.0.1:")
    assert served.ready["organization_id"] == ORG


def test_a_client_can_read_every_page_while_edits_stream_and_webhooks_flow(served: Served, listener: Listener) -> None:
    rules = [
        {"module": module, "event": event, "url": listener.url, "secret": "abcdef123456"}
        for module in MODULES
        for event in ("created", "edited", "deleted")
    ]
    served.control("/webhooks", rules)
    served.control("/edits/start", {"rate_per_second": 200})
    seen: set[str] = set()

    def read(first: int) -> None:
        for page in range(first, 31, 3):
            body = requests.get(
                f"{served.url}/inventory/v1/items",
                params={"organization_id": ORG, "page": page, "per_page": 50, "sort_column": "created_time"},
                headers=dict(served.session.headers),
                timeout=10,
            ).json()
            seen.update(row["item_id"] for row in body["items"])

    readers = [threading.Thread(target=read, args=(first,)) for first in (1, 2, 3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    edits = served.control("/edits/stop", {})
    assert served.control("/flush", {"timeout_seconds": 20}) == {"pending_count": 0}
    assert len(seen) >= 950
    assert edits["edit_count"] > 0
    changes = served.session.get(f"{served.url}/_control/state", timeout=10).json()["changes"]
    told = sum(count for name, count in changes.items() if not name.startswith(("pricebooks", "users")))
    assert len(listener.heard) == told
    dumped = {json.loads(line)["item_id"] for line in served.get("/_control/dump/items").iter_lines()}
    listed: set[str] = set()
    for page in range(1, 8):
        body = served.get("/books/v3/items", page=page, sort_column="last_modified_time").json()
        listed |= {row["item_id"] for row in body["items"]}
    assert listed == dumped


def test_a_refused_write_leaves_the_connection_usable(served: Served) -> None:
    host = served.url.removeprefix("http://")
    connection = HTTPConnection(host, timeout=10)
    statuses = []
    for _ in range(20):
        connection.putrequest("POST", "/books/v3/items")
        connection.putheader("Content-Length", "300000")
        connection.endheaders()
        # Headers and body in separate packets, and nobody who wants to read the body.
        connection.send(b"x" * 300_000)
        answer = connection.getresponse()
        answer.read()
        statuses.append((answer.status, answer.will_close))
    connection.close()
    assert statuses == [(401, False)] * 20


def test_a_broken_connection_is_broken_on_the_wire(served: Served) -> None:
    served.control("/fault-once", {"kind": "reset"})
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        served.get("/books/v3/items")
    assert served.get("/books/v3/items").status_code == 200


def test_a_slow_body_outlasts_an_impatient_reader(served: Served) -> None:
    served.control("/fault-once", {"kind": "slow_body", "seconds": 0.8})
    answer = served.get("/books/v3/items", per_page=5)
    assert len(answer.json()["items"]) == 5
    assert answer.elapsed.total_seconds() < 0.5
    served.control("/fault-once", {"kind": "slow_body", "seconds": 4})
    with pytest.raises((requests.exceptions.ConnectionError, requests.exceptions.ReadTimeout)):
        requests.get(
            f"{served.url}/books/v3/items",
            params={"organization_id": ORG},
            headers=dict(served.session.headers),
            timeout=0.2,
        )


def test_while_zoho_hangs_many_callers_wait_and_the_control_interface_answers(served: Served) -> None:
    served.control("/outage", {"kind": "hanging", "seconds": 60})

    def wait() -> None:
        with suppress(requests.exceptions.RequestException):
            served.get("/books/v3/items")

    callers = [threading.Thread(target=wait) for _ in range(30)]
    for caller in callers:
        caller.start()
    time.sleep(0.5)
    assert sum(caller.is_alive() for caller in callers) == 12
    requests.delete(f"{served.url}/_control/outage", timeout=5)
    for caller in callers:
        caller.join(5)
    assert not any(caller.is_alive() for caller in callers)
    assert served.get("/books/v3/items").status_code == 200


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told(with_signal: int) -> None:
    served = Served()
    assert served.stop(with_signal) == 0
    with pytest.raises(requests.exceptions.ConnectionError):
        served.get("/books/v3/items")
