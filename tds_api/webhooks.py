"""The way in for Zoho: a webhook is proven, understood and made durable, in this order, before it is answered."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, BinaryIO

from flask import Blueprint, Response, request

from tds_api.correlation import CORRELATION_KEY
from tds_api.door import METHODS, REFUSAL_KEY, WEBHOOKS, Take, answer_to
from tds_api.edge import Edge
from tds_api.permissions import ITSELF, needs
from tds_api.refused import Allowance, reject, set_aside
from tds_core.sources.zoho.bodies import is_form
from tds_core.sources.zoho.refusals import (
    BodyCutShortError,
    BodyTooLargeError,
    NotUnderstoodError,
    UnprovenError,
    WebhookRefusedError,
)
from tds_core.sources.zoho.signature import Pair, pairs_of, verify
from tds_core.sources.zoho.webhooks import parse
from tds_core.sync.inbox import Delivery, Receipt

# Digits of an announced length beyond these say nothing more: Python refuses to read thousands of them.
_LONGEST_LENGTH = 18

_BODY_KEY = "tds.webhook_body"


class _Headers(Mapping[str, str]):
    """The headers of a WSGI request, found by any spelling of their name; a third of the price of Werkzeug's."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        return str(self._environ[_key(name)])

    def get(self, name: str, default: Any = None) -> Any:
        return self._environ.get(_key(name), default)

    def __iter__(self) -> Iterator[str]:
        return (key[5:].replace("_", "-") for key in self._environ if key.startswith("HTTP_"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@cache
def _key(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


def taking(edge: Edge) -> Take:
    """What makes a webhook durable. Raises UnprovenError, NotUnderstoodError or what the intake raises."""
    secrets = [edge.settings.zoho_webhook_secret, edge.settings.zoho_webhook_secret_previous]
    believed = None if edge.settings.unsigned_webhooks else secrets
    limit = edge.settings.webhook_max_bytes

    def take(environ: dict[str, Any], entity: str | None, event: str | None) -> Receipt:
        body = environ[_BODY_KEY] = _read_body(environ, limit)
        return edge.intake.take(_proven(environ, entity, event, body, believed))

    return take


def webhook_routes(edge: Edge, take: Take) -> Blueprint:
    """Both webhook routes as Flask sees them: what the door refused, and addresses spelled in unusual ways."""
    routes = Blueprint("webhooks", __name__)
    allowance = Allowance(burst=200, per_second=20)

    @needs(ITSELF)
    def answer(entity: str | None = None, event: str | None = None) -> Response:
        environ = request.environ
        try:
            if REFUSAL_KEY in environ:
                raise environ.pop(REFUSAL_KEY)  # popped: an error that its own traceback reaches is garbage for long
            status, text = answer_to(take(environ, entity, event))
            return Response(text, status, content_type="application/json")
        except UnprovenError as error:
            body = environ.get(_BODY_KEY, b"")
            size = request.content_length or len(body)
            named = partial(_named, environ, entity, event, body)
            return reject(edge, allowance, request, error=error, body=body, body_size=size, named=named)
        except NotUnderstoodError as error:
            # What came as parameters alone is kept as the form it amounts to, so that it can be read again.
            body = environ.get(_BODY_KEY) or environ.get("QUERY_STRING", "").encode("latin-1")
            return set_aside(edge, error=error, body=body)

    routes.add_url_rule(f"{WEBHOOKS}/<entity>/<event>", "take", answer, methods=METHODS)
    routes.add_url_rule(WEBHOOKS, "take_any", answer, methods=METHODS)
    return routes


def _proven(
    environ: Mapping[str, Any], entity: str | None, event: str | None, body: bytes, secrets: Sequence[str] | None
) -> Delivery:
    content_type = environ.get("CONTENT_TYPE") or ""
    query = pairs_of(environ.get("QUERY_STRING", "").encode("latin-1"))
    form: Sequence[Pair] | None = pairs_of(body) if is_form(content_type, body) else None
    headers = _Headers(environ)
    if secrets is not None:
        verify(body=body, query=query, form=form, headers=headers, secrets=secrets)
    return parse(
        entity=entity,
        event=event,
        content_type=content_type,
        body=body,
        query=query,
        form=form,
        headers=headers,
        correlation_id=environ[CORRELATION_KEY],
        method=environ["REQUEST_METHOD"],
    )


def _named(
    environ: Mapping[str, Any], entity: str | None, event: str | None, body: bytes
) -> tuple[str | None, str | None]:
    """The record a delivery nobody believes says it is about; it names none when it cannot be understood."""
    try:
        delivery = _proven(environ, entity, event, body, None)
    except WebhookRefusedError:
        return None, None
    return delivery.entity, delivery.source_id


def _read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """The whole body. Raises BodyTooLargeError before or while reading, whatever length was announced."""
    announced = environ.get("CONTENT_LENGTH") or ""
    if announced.isascii() and announced.isdigit():
        size = int(announced[:_LONGEST_LENGTH])
        if size > limit:  # not read at all: who announces this may never send it, and a thread would wait
            raise BodyTooLargeError(f"The body is larger than {limit} bytes.")
        body = _read(environ["wsgi.input"], size)
        if len(body) < size:
            raise BodyCutShortError(f"{size} bytes were announced, {len(body)} came.")
        return body
    if not environ.get("wsgi.input_terminated"):
        return b""
    body = _read(environ["wsgi.input"], limit + 1)
    if len(body) > limit:
        raise BodyTooLargeError(f"The body is larger than {limit} bytes.")
    return body


def _read(stream: BinaryIO, size: int) -> bytes:
    body = stream.read(size) if size else b""
    while len(body) < size:
        more = stream.read(size - len(body))
        if not more:
            break
        body += more
    return body
