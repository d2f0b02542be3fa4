"""Probes of liveness, readiness, metrics and health: concurrent requests share one response, made in its own thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from tds_api.http.correlation import CORRELATION_KEY, HEADER
from tds_api.http.wsgi_adapter import Environ, WsgiResponse, put_body

#: Open routes whose response is the same for every caller.
PROBES = frozenset({"/healthz", "/readyz", "/metrics", "/api/tds/health"})


class Probes:
    """Answers the probes of one event loop by `fetch`, with at most one thread a path.

    A response is always begun after its request: a request that comes while one is being made gets the next.
    """

    def __init__(self, fetch: Callable[[Environ], WsgiResponse]) -> None:
        self._run = fetch
        self._threads = ThreadPoolExecutor(len(PROBES), "probe")
        self._locks = {path: asyncio.Lock() for path in PROBES}
        self._next: dict[str, asyncio.Task[WsgiResponse]] = {}

    async def answer(self, environ: Environ) -> WsgiResponse:
        """The response to a GET of one of `PROBES`."""
        path = environ["PATH_INFO"]
        if path not in self._next:
            self._next[path] = asyncio.create_task(self._fetch(path, environ))
        shared = await asyncio.shield(self._next[path])
        headers = [pair for pair in shared.headers if pair[0].lower() != HEADER.lower()]
        return shared._replace(headers=[*headers, (HEADER, environ[CORRELATION_KEY])])

    async def _fetch(self, path: str, environ: Environ) -> WsgiResponse:
        async with self._locks[path]:
            del self._next[path]  # requests from now on get the next response
            run = copy_context().run
            return await asyncio.get_running_loop().run_in_executor(self._threads, run, self._run, _plain(environ))


def _plain(environ: Environ) -> Environ:
    """The request without the headers, body and query of one caller."""
    plain = {key: value for key, value in environ.items() if not key.startswith(("HTTP_", "CONTENT_"))}
    put_body(plain, None)
    return {**plain, "QUERY_STRING": ""}
