"""The webhook endpoint: a webhook is admitted, read, verified, parsed and made durable, in this order, then answered.

`WebhookEndpoint` does so in the server's event loop. What it refuses, and addresses spelled in unusual ways, Flask
answers with the view of `webhook_routes`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

from flask import Blueprint, Response, request

from tds_api.auth.permissions import ITSELF, needs
from tds_api.http.correlation import CORRELATION_KEY, HEADER
from tds_api.http.problems import PROBLEM, RETRY_AFTER_SECONDS, problem_document, status_of
from tds_api.http.request_body import BodyReader, read_body
from tds_api.http.security_headers import NOSNIFF
from tds_api.http.token_bucket import TokenBucket
from tds_api.http.wsgi_adapter import Environ, EnvironHeaders, HttpExchange
from tds_api.inbox.group_commit import IntakeOverloadedError, IntakeUnavailableError
from tds_api.process_context import Context
from tds_api.webhooks.rejections import keep_quarantined, reject
from tds_core.config.settings import Settings
from tds_core.inbox.receive import Delivery, Receipt
from tds_core.observability import tracing
from tds_core.observability.metrics import request_seconds, webhooks
from tds_core.observability.slow_operations import slow
from tds_core.sources.zoho.webhooks.body import is_form
from tds_core.sources.zoho.webhooks.errors import NotUnderstoodError, UnprovenError, WebhookRefusedError
from tds_core.sources.zoho.webhooks.parser import parse
from tds_core.sources.zoho.webhooks.signature import Pair, pairs_of, verify

WEBHOOKS = "/api/tds/zoho/webhooks"
#: The methods Zoho's form for webhooks offers.
METHODS = frozenset({"POST", "PUT", "DELETE"})
#: Keys of a WSGI environment: why the event loop refused this webhook, and the body it read.
REFUSAL_KEY, BODY_KEY = "tds.webhook_refusal", "tds.webhook_body"

_PREFIX = WEBHOOKS + "/"
_answered = request_seconds.labels("webhooks", "2xx")
# A body up to this size is verified and parsed faster than a thread is found for it.
_SMALL_BYTES = 1 << 16

#: Entity and event as the address of a webhook names them; None where it names none.
Names = tuple[str | None, str | None]
#: Lets Flask answer; the body is None if it was not read.
AnswerWithFlask = Callable[[Environ, HttpExchange, bytes | None], Awaitable[None]]
#: Verifies and parses the webhook of a WSGI environment with its body.
Verify = Callable[[Mapping[str, Any], Names, bytes], Delivery]


class WebhookEndpoint:
    """The webhook endpoint of one event loop. Good webhooks need neither Flask nor, unless large, a thread."""

    def __init__(
        self, context: Context, bodies: BodyReader, threads: ThreadPoolExecutor, answer_with_flask: AnswerWithFlask
    ) -> None:
        self._context, self._bodies, self._threads = context, bodies, threads
        self._answer_with_flask = answer_with_flask
        self._verify = verifier(context.settings)
        self._open_count = 0

    async def handle(self, environ: Environ, exchange: HttpExchange, names: Names) -> None:
        """Answer one webhook."""
        self._open_count += 1
        try:
            self._context.group_commit.admit(self._open_count - 1)
        except IntakeOverloadedError as error:
            self._refuse_overload(exchange, error, environ[CORRELATION_KEY])
        else:
            await self._accept(environ, exchange, names)
        finally:
            self._open_count -= 1

    async def _accept(self, environ: Environ, exchange: HttpExchange, names: Names) -> None:
        correlation_id, began = environ[CORRELATION_KEY], perf_counter()
        path = environ["PATH_INFO"][:200]
        with tracing.span("webhook", correlation_id=correlation_id, is_root=True, **{"url.path": path}):
            try:
                receipt = await self._make_durable(environ, exchange, names)
            except Exception as error:  # whatever it is: Flask has an answer for it
                environ[REFUSAL_KEY] = error
                await self._answer_with_flask(environ, exchange, environ.get(BODY_KEY))
                return
        status, body = accepted_response(receipt)
        headers = [("content-type", "application/json"), NOSNIFF, (HEADER, correlation_id)]
        exchange.response_bytes(status, headers, body)
        method, seconds = environ["REQUEST_METHOD"], perf_counter() - began
        _answered.observe(seconds)
        slow.observe("request", seconds, method=method, route="webhooks", correlation_id=correlation_id)

    async def _make_durable(self, environ: Environ, exchange: HttpExchange, names: Names) -> Receipt:
        body = await self._bodies.read(exchange, environ, self._context.settings.webhook_max_bytes)
        environ[BODY_KEY] = body
        if len(body) <= _SMALL_BYTES:
            delivery = self._verify(environ, names, body)
        else:
            loop = asyncio.get_running_loop()
            delivery = await loop.run_in_executor(self._threads, self._verify, environ, names, body)
        return await self._context.group_commit.submit_async(delivery)

    def _refuse_overload(self, exchange: HttpExchange, error: IntakeOverloadedError, correlation_id: str) -> None:
        """Refuse at once, at a fraction of what accepting costs: the body is not even read."""
        self._context.unstored.add(error.code)
        webhooks.labels("", "overloaded").inc()
        status = status_of(error)
        document = problem_document(status=status, code=error.code, detail=str(error), correlation_id=correlation_id)
        headers = [("content-type", PROBLEM), ("retry-after", str(RETRY_AFTER_SECONDS)), NOSNIFF]
        exchange.response_bytes(status, [*headers, (HEADER, correlation_id)], document)


def names_of_address(path: str) -> Names | None:
    """Entity and event in the address of a webhook; None for every address that Flask has to route.

    A number is no entity but an event's id, in the address of an operator's route.
    """
    if path == WEBHOOKS:
        return None, None
    if not path.startswith(_PREFIX) or not path.isascii():
        return None
    entity, _, event = path[len(_PREFIX) :].partition("/")
    return (entity, event) if entity and event and "/" not in event and not entity.isdigit() else None


def accepted_response(receipt: Receipt) -> tuple[int, bytes]:
    """Status and body: 202 with a new event's id; 200 with the first event's id for a duplicate."""
    if receipt.duplicate:
        return 200, b'{"event_id":"%d","duplicate":true}' % receipt.event_id
    return 202, b'{"event_id":"%d","duplicate":false}' % receipt.event_id


@dataclass(frozen=True, slots=True)
class _Trust:
    """Secrets a signature may be made with (None: no signature is needed), and the organisation that is mirrored."""

    secrets: Sequence[str] | None
    organization_id: str = ""


def verifier(settings: Settings) -> Verify:
    """The function that verifies and parses webhooks by `settings`; it raises UnprovenError or NotUnderstoodError."""
    secrets = [settings.zoho_webhook_secret, settings.zoho_webhook_secret_previous]
    trust = _Trust(None if settings.unsigned_webhooks else secrets, settings.zoho_organization_id)
    return partial(_verified, trust=trust)


def _verified(environ: Mapping[str, Any], names: Names, body: bytes, trust: _Trust) -> Delivery:
    content_type = environ.get("CONTENT_TYPE") or ""
    query = pairs_of(environ.get("QUERY_STRING", "").encode("latin-1"))
    form: Sequence[Pair] | None = pairs_of(body) if is_form(content_type, body) else None
    headers = EnvironHeaders(environ)
    if trust.secrets is not None:
        verify(body=body, query=query, form=form, headers=headers, secrets=trust.secrets)
    entity, event = names
    return parse(
        entity=entity,
        event=event,
        content_type=content_type,
        body=body,
        query=query,
        form=form,
        headers=headers,
        correlation_id=environ[CORRELATION_KEY],
        organization_id=trust.organization_id,
        method=environ["REQUEST_METHOD"],
    )


def webhook_routes(context: Context) -> Blueprint:
    """Both webhook routes in Flask: for webhooks the event loop refused, and addresses spelled in unusual ways."""
    routes = Blueprint("webhooks", __name__)
    kept_rejections = TokenBucket(burst=200, per_second=20)
    verify_webhook, limit = verifier(context.settings), context.settings.webhook_max_bytes

    def receive(environ: Environ, names: Names) -> Receipt:
        body = environ[BODY_KEY] = read_body(environ, limit)
        return context.group_commit.submit(verify_webhook(environ, names, body))

    @needs(ITSELF)
    def answer(entity: str | None = None, event: str | None = None) -> Response:
        environ, names = request.environ, (entity, event)
        try:
            if REFUSAL_KEY in environ:
                raise environ.pop(REFUSAL_KEY)  # popped: an error that its own traceback reaches is garbage for long
            status, text = accepted_response(receive(environ, names))
            return Response(text, status, content_type="application/json")
        except IntakeUnavailableError as error:
            context.unstored.add(error.code)
            raise
        except UnprovenError as error:
            body = environ.get(BODY_KEY, b"")
            size = request.content_length or len(body)
            claim = partial(_claimed_record, environ, names, body)
            return reject(context, kept_rejections, request, error=error, body=body, body_size=size, claim=claim)
        except NotUnderstoodError as error:
            # Parameters without a body are kept as the form they amount to, so that they can be parsed again.
            body = environ.get(BODY_KEY) or environ.get("QUERY_STRING", "").encode("latin-1")
            return keep_quarantined(context, error=error, body=body)

    routes.add_url_rule(f"{WEBHOOKS}/<entity>/<event>", "take", answer, methods=METHODS)
    routes.add_url_rule(WEBHOOKS, "take_any", answer, methods=METHODS)
    return routes


def _claimed_record(environ: Mapping[str, Any], names: Names, body: bytes) -> tuple[str | None, str | None]:
    """Entity and id that an unverified delivery claims to be about; None where it cannot be parsed."""
    try:
        delivery = _verified(environ, names, body, _Trust(None))
    except WebhookRefusedError:
        return None, None
    return delivery.entity, delivery.source_id
