"""Probes: whether TDS lives and how it does. One answer serves all who wait for it, in threads of their own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from tds_api.http.correlation import CORRELATION_KEY, HEADER
from tds_api.http.wsgi_adapter import Answer, put_body

#: Open routes that answer all alike.
PROBES = frozenset({"/healthz", "/readyz", "/metrics", "/api/tds/health"})

Environ = dict[str, Any]


class Probes:
    """Answers probes for one event loop with `ask`, each path by one thread at most, however many ask.

    An answer was always begun after it was asked for: who comes while one is being made gets the next.
    """

    def __init__(self, ask: Callable[[Environ], Answer]) -> None:
        self._ask = ask
        self._threads = ThreadPoolExecutor(len(PROBES), "probe")
        self._turns = {path: asyncio.Lock() for path in PROBES}
        self._next: dict[str, asyncio.Task[Answer]] = {}

    async def answer(self, environ: Environ) -> Answer:
        """The answer to a GET of one of `PROBES`."""
        path = environ["PATH_INFO"]
        if path not in self._next:
            self._next[path] = asyncio.create_task(self._made(path, environ))
        shared = await asyncio.shield(self._next[path])
        own = [pair for pair in shared.headers if pair[0].lower() != HEADER.lower()]
        return shared._replace(headers=[*own, (HEADER, environ[CORRELATION_KEY])])

    async def _made(self, path: str, environ: Environ) -> Answer:
        async with self._turns[path]:
            del self._next[path]  # who asks from now on is told what is so later
            run = copy_context().run
            return await asyncio.get_running_loop().run_in_executor(self._threads, run, self._ask, _plain(environ))


def _plain(environ: Environ) -> Environ:
    """The request without what one of those who ask says of itself."""
    plain = {key: value for key, value in environ.items() if not key.startswith(("HTTP_", "CONTENT_"))}
    put_body(plain, None)
    return {**plain, "QUERY_STRING": ""}
