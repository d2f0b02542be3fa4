"""The RSGI application: an event loop reads bodies and answers webhooks and probes; threads run Flask for the rest."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from flask import Flask

from tds_api.http.correlation import CORRELATION_KEY, choose_correlation_id
from tds_api.http.listening_socket import end_in_order_on_sigterm
from tds_api.http.probe_coalescing import PROBES, Probes
from tds_api.http.request_body import LARGEST_BYTES, UNREAD_KEY, BodyReader
from tds_api.http.wsgi_adapter import Environ, HttpExchange, Scope, environ_of, put_body, run_wsgi
from tds_api.process_context import Context
from tds_api.webhooks.endpoint import METHODS, WEBHOOKS, WebhookEndpoint, names_of_address
from tds_core.observability.process_usage import name_as_serving
from tds_core.sources.zoho.webhooks.errors import WebhookRefusedError

# For webhooks that need a thread: large ones, and those that Flask answers.
_WEBHOOK_THREADS = 4


class Application:
    """An RSGI application around Flask's.

    A request gets a thread once its body was read, so slow senders hold none. Probes and webhooks have threads of their
    own, so that a crowd at other routes does not delay them.
    """

    def __init__(self, app: Flask, context: Context) -> None:
        self._app, self._context = app, context
        self._threads = ThreadPoolExecutor(context.settings.api_threads, "request")
        self._webhook_threads = ThreadPoolExecutor(_WEBHOOK_THREADS, "webhook")
        self._bodies = BodyReader()
        self._probes = Probes(lambda environ: run_wsgi(app, environ))
        self._webhooks = WebhookEndpoint(context, self._bodies, self._webhook_threads, self._answer_with_flask)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by the server when the code is loaded."""
        name_as_serving()
        end_in_order_on_sigterm(loop)

    async def __rsgi__(self, scope: Scope, exchange: HttpExchange) -> None:
        environ = environ_of(scope)
        environ[CORRELATION_KEY] = choose_correlation_id(environ)
        names = names_of_address(environ["PATH_INFO"]) if scope.method in METHODS else None
        if names is None:
            await self._answer_other(environ, exchange)
        else:
            await self._webhooks.handle(environ, exchange, names)

    async def _answer_other(self, environ: Environ, exchange: HttpExchange) -> None:
        """Answer what is no webhook, or one with an unusual address, once its body was read."""
        path = environ["PATH_INFO"]
        limit = self._context.settings.webhook_max_bytes if path.startswith(WEBHOOKS) else LARGEST_BYTES
        body = None
        try:
            body = await self._bodies.read(exchange, environ, limit)
        except WebhookRefusedError as error:
            environ[UNREAD_KEY] = error
        if body is not None and environ["REQUEST_METHOD"] == "GET" and path in PROBES:
            response = await self._probes.answer(environ)
            exchange.response_bytes(response.status, response.headers, response.body)
        else:
            await self._answer_with_flask(environ, exchange, body)

    async def _answer_with_flask(self, environ: Environ, exchange: HttpExchange, body: bytes | None) -> None:
        """Run Flask in a thread. `body` is None if it was not read; Flask finds the reason in `environ`."""
        put_body(environ, body)
        run = copy_context().run
        loop = asyncio.get_running_loop()
        is_webhook = environ["PATH_INFO"].startswith(WEBHOOKS)
        threads = self._webhook_threads if is_webhook else self._threads
        response = await loop.run_in_executor(threads, run, run_wsgi, self._app, environ)
        exchange.response_bytes(response.status, response.headers, response.body)
        if body is None:
            await self._bodies.drop(exchange)
