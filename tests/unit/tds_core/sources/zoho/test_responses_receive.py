"""An answer is taken whole, or given up: it may not drip, break off or grow without end."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest
import requests

from tds_core.sources.zoho import responses
from tds_core.sources.zoho.responses import receive

Says = Callable[[socket.socket], None]
Asks = Callable[[Says], requests.Response]


@pytest.fixture
def ask() -> Iterator[Asks]:
    """Ask a server that answers one call with what the test has it say."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def asked(says: Says) -> requests.Response:
            def serve() -> None:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    with suppress(OSError):  # the client may have had enough
                        says(connection)

            threading.Thread(target=serve, daemon=True).start()
            return requests.get(f"http://127.0.0.1:{server.getsockname()[1]}/", stream=True, timeout=5)

        yield asked


def said(body: bytes, *, length: int | None = None, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (length or len(body), headers) + body


def test_a_body_is_whole(ask: Asks) -> None:
    body = bytes(range(256)) * 8000
    assert receive(ask(lambda to: to.sendall(said(body))), within_seconds=5) == body


def test_an_empty_body_is_one(ask: Asks) -> None:
    assert receive(ask(lambda to: to.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")), within_seconds=5) == b""


def test_a_packed_body_is_unpacked(ask: Asks) -> None:
    body = b"item," * 200_000
    packed = said(gzip.compress(body), headers=b"Content-Encoding: gzip\r\n")
    assert receive(ask(lambda to: to.sendall(packed)), within_seconds=5) == body


def test_a_body_in_chunks_is_put_together(ask: Asks) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert receive(ask(lambda to: to.sendall(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")), within_seconds=5) == b"abcde"


@pytest.mark.parametrize("head", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
])  # fmt: skip
def test_a_body_that_drips_is_given_up_in_time(ask: Asks, head: bytes) -> None:
    def drip(to: socket.socket) -> None:
        to.sendall(head)
        while True:
            to.sendall(b"1\r\nx\r\n" if b"chunked" in head else b"x")
            time.sleep(0.02)

    answer = ask(drip)
    began = time.monotonic()
    with pytest.raises(requests.Timeout, match="did not end"):
        receive(answer, within_seconds=0.3)
    assert time.monotonic() - began < 3  # the connection would have stood it for half an hour


@pytest.mark.parametrize(
    "sent", [said(b"abc", length=9), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nab"]
)
def test_a_body_that_breaks_off_is_no_answer(ask: Asks, sent: bytes) -> None:
    with pytest.raises(requests.ConnectionError, match="broke off"):
        receive(ask(lambda to: to.sendall(sent)), within_seconds=5)


def test_a_body_beyond_all_measure_is_not_kept(ask: Asks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "MOST_BYTES", 1 << 20)
    packed = said(gzip.compress(bytes(64 << 20)), headers=b"Content-Encoding: gzip\r\n")
    with pytest.raises(requests.RequestException, match="larger than 1 MiB"):
        receive(ask(lambda to: to.sendall(packed)), within_seconds=30)
