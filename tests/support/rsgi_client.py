"""An RSGI server's part of a conversation, for tests: what it says of a request, its body in pieces, its answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tds_api.rsgi_application import Application


@dataclass
class Headers:
    """Names in small letters, as the server gives them."""

    pairs: list[tuple[str, str]]

    def items(self) -> list[tuple[str, str]]:
        return self.pairs


@dataclass
class Scope:
    """A request before its body."""

    method: str = "POST"
    path: str = "/"
    query_string: str = ""
    headers: Headers = field(default_factory=lambda: Headers([]))
    http_version: str = "1.1"
    server: str = "127.0.0.1:8800"
    client: str = "127.0.0.1:50000"
    scheme: str = "http"
    authority: str | None = None


@dataclass
class Exchange:
    """A body that comes in `pieces`, each after `pause` seconds, and the answer."""

    pieces: Iterable[bytes] = ()
    pause: float = 0.0
    read: int = 0
    answered: tuple[int, dict[str, str], bytes] | None = None

    async def __call__(self) -> bytes:
        return b"".join([piece async for piece in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            await asyncio.sleep(self.pause)
            self.read += len(piece)
            yield piece

    def response_bytes(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        assert self.answered is None, "answered twice"
        self.answered = status, {name.lower(): value for name, value in headers}, body

    @property
    def status(self) -> int:
        assert self.answered is not None, "never answered"
        return self.answered[0]

    @property
    def json(self) -> Any:
        assert self.answered is not None, "never answered"
        return json.loads(self.answered[2])


def asked(
    method: str, path: str, body: bytes = b"", *, query: str = "", headers: Mapping[str, str] | None = None
) -> tuple[Scope, Exchange]:
    """One request with a body of a known length."""
    sent = {"content-length": str(len(body)), **(headers or {})} if body else dict(headers or {})
    return Scope(method, path, query, Headers(list(sent.items()))), Exchange([body] if body else [])


def answered(application: Application, scope: Scope, exchange: Exchange) -> Exchange:
    """The exchange, when it is over."""
    asyncio.run(application.__rsgi__(scope, exchange))
    return exchange
