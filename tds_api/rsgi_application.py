"""The API as an RSGI server runs it: one event loop reads bodies and takes webhooks, threads answer all the rest."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from time import perf_counter
from typing import Any, Protocol

from flask import Flask

from tds_api.context import Context
from tds_api.http.correlation import CORRELATION_KEY, HEADER, choose_correlation_id
from tds_api.http.probes import PROBES, Probes
from tds_api.http.problems import PROBLEM, RETRY_AFTER_SECONDS, problem_document, status_of
from tds_api.http.request_body import LARGEST_BYTES, UNREAD_KEY, Bodies, Stream
from tds_api.http.security_headers import NOSNIFF
from tds_api.http.wsgi_adapter import Scope, answer_of, environ_of, put_body
from tds_api.inbox.group_commit import IntakeOverloadedError
from tds_api.webhooks.endpoint import BODY_KEY, METHODS, REFUSAL_KEY, WEBHOOKS, answer_to, named_by, proving
from tds_core.inbox.receive import Receipt
from tds_core.observability import tracing
from tds_core.observability.metrics import watch, webhooks
from tds_core.sources.zoho.webhooks.errors import WebhookRefusedError

# A body up to this size is proven and understood faster than a thread is found for it.
_SMALL_BYTES = 1 << 16

Environ = dict[str, Any]
Names = tuple[str | None, str | None]
_JSON = (("content-type", "application/json"), NOSNIFF)
# Webhooks that need a thread: large ones, and those that Flask answers.
_WEBHOOK_THREADS = 4


class Exchange(Stream, Protocol):
    """A request's body and the way its answer goes."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...


class Application:
    """An RSGI application around Flask's.

    A request gets a thread when its body is there, so those who send slowly hold none. Good webhooks need neither
    thread nor Flask: what `Intake` says is answered from the loop. Whatever else happens to a webhook is noted in its
    environment, and Flask's view of the same route answers it. Probes and webhooks have threads of their own, so that
    no crowd before other routes keeps them waiting.
    """

    def __init__(self, app: Flask, edge: Context) -> None:
        self._app, self._edge = app, edge
        self._prove = proving(edge.settings)
        self._threads = ThreadPoolExecutor(edge.settings.api_threads, "request")
        self._webhook_threads = ThreadPoolExecutor(_WEBHOOK_THREADS, "webhook")
        self._probes = Probes(lambda environ: answer_of(app, environ))
        self._bodies = Bodies()
        self._taking = 0

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        environ = environ_of(scope)
        environ[CORRELATION_KEY] = choose_correlation_id(environ)
        names = named_by(environ["PATH_INFO"]) if scope.method in METHODS else None
        if names is None:
            await self._pass_on(environ, exchange)
            return
        self._taking += 1
        try:
            await self._take(environ, exchange, names)
        finally:
            self._taking -= 1

    async def _take(self, environ: Environ, exchange: Exchange, names: Names) -> None:
        correlation_id, began = environ[CORRELATION_KEY], perf_counter()
        try:
            self._edge.intake.admit(self._taking - 1)
        except IntakeOverloadedError as error:
            self._turn_away(exchange, error, correlation_id)
            return
        path = environ["PATH_INFO"][:200]
        with tracing.span("webhook", correlation_id=correlation_id, is_root=True, **{"url.path": path}):
            try:
                receipt = await self._taken(environ, exchange, names)
            except Exception as error:  # whatever it is: Flask knows its answer
                environ[REFUSAL_KEY] = error
                await self._let_flask_answer(environ, exchange, environ.get(BODY_KEY))
                return
        status, body = answer_to(receipt)
        exchange.response_bytes(status, [*_JSON, (HEADER, correlation_id)], body)
        method = environ["REQUEST_METHOD"]
        watch.tell("request", perf_counter() - began, method=method, route="webhooks", correlation_id=correlation_id)

    async def _taken(self, environ: Environ, exchange: Exchange, names: Names) -> Receipt:
        body = await self._bodies.read(exchange, environ, self._edge.settings.webhook_max_bytes)
        environ[BODY_KEY] = body
        if len(body) <= _SMALL_BYTES:
            delivery = self._prove(environ, *names, body)
        else:
            loop = asyncio.get_running_loop()
            delivery = await loop.run_in_executor(self._webhook_threads, self._prove, environ, *names, body)
        return await self._edge.intake.receive(delivery)

    def _turn_away(self, exchange: Exchange, error: IntakeOverloadedError, correlation_id: str) -> None:
        """Refuse at once, at a small part of what taking costs: the body is not even read."""
        self._edge.unstored.add(error.code)
        webhooks.labels("", "overloaded").inc()
        status = status_of(error)
        document = problem_document(status=status, code=error.code, detail=str(error), correlation_id=correlation_id)
        headers = [("content-type", PROBLEM), ("retry-after", str(RETRY_AFTER_SECONDS)), NOSNIFF]
        exchange.response_bytes(status, [*headers, (HEADER, correlation_id)], document)

    async def _pass_on(self, environ: Environ, exchange: Exchange) -> None:
        """Have Flask answer what is no webhook, or is addressed in an unusual way, when its body is there."""
        is_webhook = environ["PATH_INFO"].startswith(WEBHOOKS)
        limit = self._edge.settings.webhook_max_bytes if is_webhook else LARGEST_BYTES
        body = None
        try:
            body = await self._bodies.read(exchange, environ, limit)
        except WebhookRefusedError as error:
            environ[UNREAD_KEY] = error
        if body is not None and environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"] in PROBES:
            answer = await self._probes.answer(environ)
            exchange.response_bytes(answer.status, answer.headers, answer.body)
        else:
            await self._let_flask_answer(environ, exchange, body)

    async def _let_flask_answer(self, environ: Environ, exchange: Exchange, body: bytes | None) -> None:
        """Answer as Flask does, in a thread; without a body it was not read, and Flask hears why."""
        put_body(environ, body)
        run = copy_context().run
        loop = asyncio.get_running_loop()
        is_webhook = environ["PATH_INFO"].startswith(WEBHOOKS)
        threads = self._webhook_threads if is_webhook else self._threads
        answer = await loop.run_in_executor(threads, run, answer_of, self._app, environ)
        exchange.response_bytes(answer.status, answer.headers, answer.body)
        if body is None:
            await self._bodies.drop(exchange)
