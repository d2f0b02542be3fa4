"""A load generator that costs little: requests made beforehand, many keep-alive connections, one epoll loop."""

import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

#: Who waits longer for an answer measures nothing.
SILENT_SECONDS = 60.0


@dataclass(slots=True)
class Load:
    """What came back: seconds a request, counted from when it was due, and answers by status."""

    elapsed_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Answered requests per second."""
        return len(self.latencies) / self.elapsed_seconds

    def percentile_ms(self, share: float) -> float:
        """The latency that `share` of the requests did not exceed, in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


class _Connections:
    """Keep-alive connections that are free, and those that wait for an answer."""

    def __init__(self, port: int, count: int) -> None:
        self.poll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        self.busy: dict[int, float] = {}
        self.parts: dict[int, bytes] = {}
        self.free: deque[int] = deque()
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets[connection.fileno()] = connection
            self.free.append(connection.fileno())
            self.poll.register(connection.fileno(), select.EPOLLIN)

    def send(self, request: bytes, due_at: float) -> None:
        """Send on a free connection; `due_at` is when it should have been sent."""
        number = self.free.popleft()
        self.busy[number] = due_at
        self.sockets[number].sendall(request)

    def collect(self, load: Load, timeout: float) -> None:
        """Take the answers that are there, waiting at most `timeout` seconds for the first."""
        ready = self.poll.poll(timeout)
        if self.busy and time.perf_counter() - min(self.busy.values()) > SILENT_SECONDS:
            raise TimeoutError(
                f"{len(self.busy)} requests have no answer. The last: {next(iter(self.parts.values()), b'')!r}"
            )
        for number, _ in ready:
            part = self.sockets[number].recv(65536)
            now = time.perf_counter()
            if not part:
                raise ConnectionError("The server closed a connection.")
            answer = self.parts.pop(number, b"") + part
            if not answer.rstrip().endswith(b"}"):  # every answer is one JSON object; head and body may come apart
                self.parts[number] = answer
                continue
            status = answer[9:12].decode()
            load.statuses[status] = load.statuses.get(status, 0) + 1
            load.latencies.append(now - self.busy.pop(number))
            self.free.append(number)

    def close(self) -> None:
        """Close them all."""
        for connection in self.sockets.values():
            connection.close()
        self.poll.close()


def press(port: int, requests: Sequence[bytes], *, connections: int) -> Load:
    """As fast as the server answers: every connection always has one request in flight."""
    load, line = Load(), _Connections(port, connections)
    begun_at = time.perf_counter()
    waiting = iter(requests)
    left = len(requests)
    while left or line.busy:
        while left and line.free:
            line.send(next(waiting), time.perf_counter())
            left -= 1
        line.collect(load, 5.0)
    load.elapsed_seconds = time.perf_counter() - begun_at
    line.close()
    return load


def pace(port: int, requests: Sequence[bytes], *, per_second: float, connections: int) -> Load:
    """At a fixed rate, whatever the server does: a late answer also counts against the requests behind it."""
    load, line = Load(), _Connections(port, connections)
    begun_at = time.perf_counter()
    sent = 0
    while sent < len(requests) or line.busy:
        now = time.perf_counter()
        due_at = begun_at + sent / per_second
        while sent < len(requests) and due_at <= now and line.free:
            line.send(requests[sent], due_at)
            sent += 1
            due_at = begun_at + sent / per_second
        wait = max(0.0, due_at - time.perf_counter()) if sent < len(requests) and line.free else 1.0
        line.collect(load, wait)
    load.elapsed_seconds = time.perf_counter() - begun_at
    line.close()
    return load
