"""The door for Zoho: a webhook is proven, understood and made durable, in this order, before it is answered."""

from collections.abc import Sequence

from flask import Blueprint, Request, Response, request

from tds_api.correlation import correlation_id
from tds_api.edge import Edge
from tds_api.refused import Allowance, reject, set_aside
from tds_core.sources.zoho.bodies import is_form
from tds_core.sources.zoho.refusals import BodyCutShortError, BodyTooLargeError, NotUnderstoodError, UnprovenError
from tds_core.sources.zoho.signature import Pair, pairs_of, verify
from tds_core.sources.zoho.webhooks import parse
from tds_core.sync.inbox import Delivery, Receipt

#: What is kept of a body nobody read to its end.
_GLIMPSE_BYTES = 2048


def webhook_routes(edge: Edge) -> Blueprint:
    """Both webhook routes. Plain Flask views: this is the one hot path of the API."""
    routes = Blueprint("webhooks", __name__)
    secrets = [edge.settings.zoho_webhook_secret, edge.settings.zoho_webhook_secret_previous]
    unsigned = edge.settings.unsigned_webhooks
    limit = edge.settings.webhook_max_bytes
    allowance = Allowance(burst=200, per_second=20)

    def take(entity: str | None = None, event: str | None = None) -> Response:
        body = b""
        try:
            body = _read_body(request, limit)
            delivery = _proven(request, entity, event, body, None if unsigned else secrets)
            return _accepted(edge.intake.take(delivery))
        except UnprovenError as error:
            size = request.content_length or len(body)
            return reject(edge, allowance, request, error=error, body=body or _glimpse(request), body_size=size)
        except NotUnderstoodError as error:
            return set_aside(edge, error=error, body=body)

    routes.add_url_rule("/api/tds/zoho/webhooks/<entity>/<event>", "take", take, methods=["POST"])
    routes.add_url_rule("/api/tds/zoho/webhooks", "take_any", take, methods=["POST"])
    return routes


def _proven(
    request: Request, entity: str | None, event: str | None, body: bytes, secrets: Sequence[str] | None
) -> Delivery:
    environ = request.environ
    content_type = environ.get("CONTENT_TYPE") or ""
    query = pairs_of(environ.get("QUERY_STRING", "").encode("latin-1"))
    form: Sequence[Pair] | None = pairs_of(body) if is_form(content_type, body) else None
    headers = request.headers
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
        correlation_id=correlation_id(),
    )


def _accepted(receipt: Receipt) -> Response:
    """202 with a new event's id; 200 with the first event's for what was received before."""
    duplicate = "true" if receipt.duplicate else "false"
    text = f'{{"event_id":"{receipt.event_id}","duplicate":{duplicate}}}'
    return Response(text.encode(), 200 if receipt.duplicate else 202, content_type="application/json")


def _read_body(request: Request, limit: int) -> bytes:
    """The whole body. Raises BodyTooLargeError before or while reading, whatever length was announced."""
    announced = request.environ.get("CONTENT_LENGTH") or ""
    too_large = BodyTooLargeError(f"The body is larger than {limit} bytes.")
    if announced.isdigit():
        if int(announced) > limit:
            raise too_large
        body = _read(request, int(announced))
        if len(body) < int(announced):
            raise BodyCutShortError(f"{announced} bytes were announced, {len(body)} came.")
        return body
    if not request.environ.get("wsgi.input_terminated"):
        return b""
    body = _read(request, limit + 1)
    if len(body) > limit:
        raise too_large
    return body


def _read(request: Request, size: int) -> bytes:
    stream = request.environ["wsgi.input"]
    body: bytes = stream.read(size)
    while len(body) < size:
        more = stream.read(size - len(body))
        if not more:
            break
        body += more
    return body


def _glimpse(request: Request) -> bytes:
    return _read(request, min(_GLIMPSE_BYTES, request.content_length or 0))
