"""A receiver of change events in the test's process: a real HTTP server that verifies with an independent library."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook


@dataclass
class Got:
    """One request that arrived."""

    id: str
    body: dict[str, Any]
    verified: list[str]
    status: int

    @property
    def record(self) -> str:
        return str(self.body["data"]["source_id"])

    @property
    def version(self) -> int:
        return int(self.body["data"]["version"])


@dataclass
class Receiver:
    """Answers as `answer(body)` says: a status, or a status and headers. Keeps what came, in order of arrival."""

    url: str = ""
    secrets: list[str] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], Any] = lambda body: 200
    got: list[Got] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, raw: bytes, headers: dict[str, str]) -> Any:
        verified = []
        for secret in self.secrets:
            Webhook(secret).verify(raw, headers)  # raises what the receiver's framework would answer 500
            verified.append(secret)
        body = json.loads(raw)
        answer = self.answer(body)
        with self.lock:
            status = answer[0] if isinstance(answer, tuple) else answer
            self.got.append(Got(headers["webhook-id"], body, verified, status))
        return answer

    def taken(self) -> list[tuple[str, int]]:
        """Record and version of what was answered with success, in order of arrival."""
        return [(each.record, each.version) for each in self.got if each.status < 300]

    def versions(self) -> dict[str, list[int]]:
        """By record, the versions in the order in which they were first taken."""
        found: dict[str, list[int]] = {}
        for record, version in self.taken():
            if version not in found.setdefault(record, []):
                found[record].append(version)
        return found


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port of this machine."""
    receiver = Receiver()

    class Asked(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            answer = receiver.take(raw, {key.lower(): value for key, value in self.headers.items()})
            status, headers = answer if isinstance(answer, tuple) else (answer, {})
            self.send_response(status)
            for name, value in {"Content-Length": "2", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            pass  # a client that gave up

    server = Server(("127.0.0.1", 0), Asked)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/events"
    yield receiver
    server.shutdown()
    server.server_close()


def slowly(seconds: float, status: int = 200) -> Callable[[dict[str, Any]], int]:
    """An answer that takes its time."""

    def answer(_: dict[str, Any]) -> int:
        time.sleep(seconds)
        return status

    return answer
