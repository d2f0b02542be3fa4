"""The API's server promises: slow senders hold nothing, no body is larger than its limit, overload is said early."""

import json
import socket
import statistics
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tds_api.http.probe_coalescing import PROBES
from tests.support.api_process import served
from tests.support.database_role import superuser
from tests.support.webhook_sender import PATH, TOKEN, signature, wrapped

SLOW = 200


@pytest.fixture
def port(database: str, redis_url: str, tmp_path: Path) -> Iterator[int]:
    with served(database, tmp_path, TDS_REDIS_URL=redis_url) as port:
        yield port


def sent(port: int, number: int) -> tuple[int, dict[str, Any], float]:
    """Status and JSON of one honest webhook over a connection of its own, and how long it took."""
    body = wrapped(str(number))
    began = time.perf_counter()
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(
        "POST", PATH, body, {"Content-Type": "application/json", "X-Zoho-Webhook-Signature": signature(body)}
    )
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    return answer.status, {**found, "retry_after": answer.headers.get("Retry-After")}, time.perf_counter() - began


def asked(port: int, path: str) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
    return json.loads(connection.getresponse().read())


HEAD = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" % PATH.encode()
SESSION = b"POST /api/tds/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
#: What a slow sender begins with, and what it sends once a second.
SLOWNESS = {
    "a body": (HEAD + b"Content-Length: 2000\r\n\r\n", b"a"),
    "a large body": (HEAD + b"Content-Length: 900000\r\n\r\n", b"a" * 100),
    "chunks": (SESSION + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "a head": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X-A: b\r\n"),
    "nothing": (b"", b""),
}


def drip(port: int, kind: str, ended: dict[str, list[tuple[bytes, float]]]) -> None:
    """Be slow until the server has had enough."""
    begin, piece = SLOWNESS[kind]
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(begin)
        slow.settimeout(1)
        while time.monotonic() - began < 60:
            try:
                slow.sendall(piece)
                answer = slow.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                answer = b""
            ended[kind].append((answer[9:12], time.monotonic() - began))
            return


def test_slow_senders_are_ended_and_hold_nobody_up(port: int) -> None:
    ended: dict[str, list[tuple[bytes, float]]] = {kind: [] for kind in SLOWNESS}
    kinds = list(SLOWNESS)
    slow = [threading.Thread(target=drip, args=(port, kinds[n % len(kinds)], ended)) for n in range(SLOW)]
    for each in slow:
        each.start()
    time.sleep(1)
    honest = []
    for number in range(150):
        honest.append(sent(port, number))
        time.sleep(0.02)
    assert asked(port, "/api/tds/health")["database"] == "reachable"
    for each in slow:
        each.join(60)
    assert {status for status, _, _ in honest} == {202}
    assert sorted(took for _, _, took in honest)[-2] < 0.25
    assert {kind: len(found) for kind, found in ended.items()} == dict.fromkeys(SLOWNESS, SLOW // len(SLOWNESS))
    for kind in ("a body", "a large body", "chunks"):
        assert {status for status, _ in ended[kind]} == {b"408"}, kind
    for kind, latest in (("a body", 12), ("a large body", 12), ("chunks", 12), ("a head", 25), ("nothing", 25)):
        assert max(after for _, after in ended[kind]) < latest, kind


def _announced(connection: socket.socket, head: bytes) -> None:
    connection.sendall(head + b"Content-Length: 60000000\r\n\r\n" + b'{"name":"' + b"x" * 1_000_000)


def _in_chunks(connection: socket.socket, head: bytes) -> None:
    connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(60):
        connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


ROUTES = (
    "session", "login", "sync/product", "zoho/oauth/start", "dead-letter/retry", "nowhere",
    "zoho/webhooks/product/updated", "zoho/webhooks/product/updated/",
)  # fmt: skip


def test_a_body_over_the_limit_is_refused_unread_on_every_route(port: int) -> None:
    for path in ROUTES:
        for send in (_announced, _in_chunks):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                head = f"POST /api/tds/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                send(connection, head.encode())
                answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 413 "), (path, send, answer)
            assert b"application/problem+json" in answer
            assert b'"code":"body_too_large"' in answer


CROWD = 200


def crowd(port: int, path: str, over: threading.Event) -> None:
    """Ask for `path` over and over, and read no answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port)) as greedy:
        greedy.settimeout(0.5)
        while not over.is_set():
            try:
                greedy.sendall(request * 100)
            except TimeoutError:
                continue
            except OSError:
                return


@pytest.mark.parametrize(
    "path", ["/metrics", "/readyz", "/api/tds/health", "/api/tds/queue", "/api/tds/entities/product"]
)
def test_a_crowd_that_reads_no_answer_keeps_no_probe_and_no_webhook_waiting(port: int, path: str) -> None:
    over = threading.Event()
    greedy = [threading.Thread(target=crowd, args=(port, path, over)) for _ in range(CROWD)]
    for each in greedy:
        each.start()
    try:
        time.sleep(2)
        took: dict[str, list[float]] = {}
        for number in range(10):
            for probe in sorted(PROBES):
                began = time.perf_counter()
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{probe}", timeout=30) as answer:
                    assert (answer.status, len(answer.headers["X-Correlation-Id"])) == (200, 32)
                took.setdefault(probe, []).append(time.perf_counter() - began)
            status, _, seconds = sent(port, number)
            assert status == 202
            took.setdefault("webhook", []).append(seconds)
    finally:
        over.set()
        for each in greedy:
            each.join()
    assert all(statistics.median(found) < 2 for found in took.values()), took


def chunks(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


#: How a body in chunks may break off, and how it may come whole.
BROKEN_OFF = {
    "between chunks": lambda body: chunks(body, 50),
    "before all of it": lambda body: b"",
    "inside a chunk": lambda body: chunks(body, len(body))[:-40],
    "in the last chunk": lambda body: chunks(body, 50) + b"0\r\n",
    "in nonsense": lambda body: chunks(body, 50) + b"zz\r\n",
}
WHOLE = {
    "in one chunk": lambda body: chunks(body, len(body)) + b"0\r\n\r\n",
    "in many chunks": lambda body: chunks(body, 7) + b"0\r\n\r\n",
}


def sent_in_chunks(port: int, path: str, body: bytes, sent_as: bytes) -> bytes:
    """The answer to what is sent of `body`, half of it a moment later; after what is not its end nothing more comes."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"X-Zoho-Webhook-Signature: {signature(body)}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.encode() + sent_as[: len(sent_as) // 2])
        time.sleep(0.05)
        connection.sendall(sent_as[len(sent_as) // 2 :])
        if not sent_as.endswith(b"0\r\n\r\n"):
            connection.shutdown(socket.SHUT_WR)
        return connection.recv(65536)


def test_a_body_in_chunks_that_breaks_off_is_no_body(port: int, engine: Engine) -> None:
    for path in (PATH, "/api/tds/session", "/api/tds/zoho/webhooks/"):
        for name, cut in BROKEN_OFF.items():
            # What came is signed and whole by itself: only the end of the chunks is missing.
            answer = sent_in_chunks(port, path, wrapped("1"), cut(wrapped("1")))
            assert answer.startswith(b"HTTP/1.1 400 "), (path, name, answer)
            assert b'"code":"body_cut_short"' in answer, (path, name, answer)
    with engine.connect() as connection:
        for table in ("tds_inbox_events", "tds_sync_queue"):
            assert connection.execute(text(f"select count(*) from {table}")).scalar() == 0
    for number, whole in enumerate(WHOLE.values()):
        body = wrapped(str(number))
        assert sent_in_chunks(port, PATH, body, whole(body)).startswith(b"HTTP/1.1 202 ")


SLOW_DATABASE = """
create function slowly() returns trigger language plpgsql as $$ begin perform pg_sleep(0.01); return new; end $$;
create trigger slowly before insert on tds_inbox_events for each row execute function slowly()
"""


def test_a_sender_that_would_wait_too_long_is_refused_at_once_and_health_says_how_many(
    port: int, engine: Engine
) -> None:
    with superuser(engine) as session:
        session.connection().exec_driver_sql(SLOW_DATABASE)
    with ThreadPoolExecutor(400) as threads:
        for begin in (0, 100):  # what a webhook costs is learned from what comes
            assert {each[0] for each in threads.map(sent, [port] * 40, range(begin, begin + 40))} == {202}
        crowd = list(threads.map(sent, [port] * 400, range(1000, 1400)))
    stored = [took for status, _, took in crowd if status == 202]
    turned_away = [(found["code"], found["retry_after"]) for status, found, _ in crowd if status == 503]
    assert len(stored) + len(turned_away) == 400
    assert len(stored) > 100
    assert set(turned_away) == {("intake_overloaded", "5")}
    assert sent(port, 2000)[0] == 202, "the line is empty again"
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from tds_inbox_events")).scalar() == 81 + len(stored)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        health = {each["name"]: each for each in asked(port, "/api/tds/health/complete")["components"]}
        if health["reception"]["state"] != "ok":
            break
        time.sleep(0.2)
    assert health["reception"]["state"] == "warning"
    assert health["reception"]["says"].startswith(f"{len(turned_away)} webhooks met a 503 from ")
    [row] = asked(port, "/api/tds/zoho/webhooks/health")["unstored"]
    assert (row["reason"], row["count"]) == ("intake_overloaded", len(turned_away))
    assert row["first_at"] <= row["last_at"]


def test_an_answer_is_what_flask_says_of_every_method_and_kind_of_route(port: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    for method, path, status in (
        ("GET", "/healthz", 200),
        ("HEAD", "/healthz", 200),
        ("OPTIONS", "/api/tds/queue", 200),
        ("GET", "/api/tds/static/pages.css", 200),
        ("GET", "/api/tds/docs", 303),
        ("GET", "/nowhere", 404),
        ("PATCH", PATH, 405),
        ("POST", PATH, 401),
        ("GET", "/api/tds/entities/product", 401),
    ):
        connection.request(method, path, headers={"Accept": "text/html, */*;q=0.1"} if "docs" in path else {})
        answer = connection.getresponse()
        body = answer.read()
        assert (answer.status, len(answer.headers["X-Correlation-Id"])) == (status, 32), (method, path, body)
    connection.close()
