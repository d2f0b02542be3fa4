"""The door for Zoho: a webhook is proven, understood and made durable, in this order, before it is answered."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, BinaryIO

from flask import Blueprint, Response, request

from tds_api.correlation import CORRELATION_KEY
from tds_api.edge import Edge
from tds_api.refused import Allowance, reject, set_aside
from tds_core.sources.zoho.bodies import is_form
from tds_core.sources.zoho.refusals import BodyCutShortError, BodyTooLargeError, NotUnderstoodError, UnprovenError
from tds_core.sources.zoho.signature import Pair, pairs_of, verify
from tds_core.sources.zoho.webhooks import parse
from tds_core.sync.inbox import Delivery, Receipt


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


def webhook_routes(edge: Edge) -> Blueprint:
    """Both webhook routes. Plain Flask views: this is the one hot path of the API."""
    routes = Blueprint("webhooks", __name__)
    secrets = [edge.settings.zoho_webhook_secret, edge.settings.zoho_webhook_secret_previous]
    unsigned = edge.settings.unsigned_webhooks
    limit = edge.settings.webhook_max_bytes
    allowance = Allowance(burst=200, per_second=20)

    def take(entity: str | None = None, event: str | None = None) -> Response:
        environ, body = request.environ, b""
        try:
            body = _read_body(environ, limit)
            delivery = _proven(environ, entity, event, body, None if unsigned else secrets)
            return _accepted(edge.intake.take(delivery))
        except UnprovenError as error:
            size = request.content_length or len(body)
            return reject(edge, allowance, request, error=error, body=body, body_size=size)
        except NotUnderstoodError as error:
            return set_aside(edge, error=error, body=body)

    routes.add_url_rule("/api/tds/zoho/webhooks/<entity>/<event>", "take", take, methods=["POST"])
    routes.add_url_rule("/api/tds/zoho/webhooks", "take_any", take, methods=["POST"])
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
    )


def _accepted(receipt: Receipt) -> Response:
    """202 with a new event's id; 200 with the first event's for what was received before."""
    duplicate = "true" if receipt.duplicate else "false"
    text = f'{{"event_id":"{receipt.event_id}","duplicate":{duplicate}}}'
    return Response(text.encode(), 200 if receipt.duplicate else 202, content_type="application/json")


def _read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """The whole body. Raises BodyTooLargeError before or while reading, whatever length was announced."""
    announced = environ.get("CONTENT_LENGTH") or ""
    if announced.isdigit():
        size = int(announced)
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
