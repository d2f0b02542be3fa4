"""The way in for Zoho: a webhook is proven, understood and made durable, in this order, before it is answered."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from flask import Blueprint, Response, request

from tds_api.auth.permissions import ITSELF, needs
from tds_api.context import Context
from tds_api.http.correlation import CORRELATION_KEY
from tds_api.http.request_body import read_body
from tds_api.http.token_bucket import TokenBucket
from tds_api.inbox.group_commit import IntakeUnavailableError
from tds_api.webhooks.rejections import reject, set_aside
from tds_core.config.settings import Settings
from tds_core.inbox.receive import Delivery, Receipt
from tds_core.sources.zoho.webhooks.body import is_form
from tds_core.sources.zoho.webhooks.errors import NotUnderstoodError, UnprovenError, WebhookRefusedError
from tds_core.sources.zoho.webhooks.parser import parse
from tds_core.sources.zoho.webhooks.signature import Pair, pairs_of, verify

WEBHOOKS = "/api/tds/zoho/webhooks"
#: What Zoho's form for webhooks lets a rule send with.
METHODS = frozenset({"POST", "PUT", "DELETE"})
#: Where a WSGI environment carries why a webhook was not taken before Flask was asked, and the body that was read.
REFUSAL_KEY, BODY_KEY = "tds.webhook_refusal", "tds.webhook_body"

_BEFORE_NAMES = WEBHOOKS + "/"
_NAMES_AT = len(_BEFORE_NAMES)

#: Reads and proves the webhook of a WSGI environment; entity and event are what its address names.
Prove = Callable[[Mapping[str, Any], str | None, str | None, bytes], Delivery]


@dataclass(frozen=True, slots=True)
class _Trust:
    """What a delivery is measured by: secrets (None: nothing is proven), and the organisation that is mirrored."""

    secrets: Sequence[str] | None
    organization_id: str = ""


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


def proving(settings: Settings) -> Prove:
    """What proves a webhook by these settings. Raises UnprovenError or NotUnderstoodError."""
    secrets = [settings.zoho_webhook_secret, settings.zoho_webhook_secret_previous]
    trust = _Trust(None if settings.unsigned_webhooks else secrets, settings.zoho_organization_id)
    return partial(_proven, trust=trust)


def named_by(path: str) -> tuple[str | None, str | None] | None:
    """Entity and event as the address of a webhook names them; None for every address Flask has to make out.

    A number is no entity but an event, of which an operator wants something.
    """
    if path == WEBHOOKS:
        return None, None
    if not path.startswith(_BEFORE_NAMES) or not path.isascii():
        return None
    entity, _, event = path[_NAMES_AT:].partition("/")
    return (entity, event) if entity and event and "/" not in event and not entity.isdigit() else None


def answer_to(receipt: Receipt) -> tuple[int, bytes]:
    """Status and body: 202 with a new event's id; 200 with the first event's for what was received before."""
    if receipt.duplicate:
        return 200, b'{"event_id":"%d","duplicate":true}' % receipt.event_id
    return 202, b'{"event_id":"%d","duplicate":false}' % receipt.event_id


def webhook_routes(edge: Context) -> Blueprint:
    """Both webhook routes as Flask sees them: what was not taken before it, and addresses spelled in unusual ways."""
    routes = Blueprint("webhooks", __name__)
    allowance = TokenBucket(burst=200, per_second=20)
    prove, limit = proving(edge.settings), edge.settings.webhook_max_bytes

    def take(environ: dict[str, Any], entity: str | None, event: str | None) -> Receipt:
        body = environ[BODY_KEY] = read_body(environ, limit)
        return edge.intake.take(prove(environ, entity, event, body))

    @needs(ITSELF)
    def answer(entity: str | None = None, event: str | None = None) -> Response:
        environ = request.environ
        try:
            if REFUSAL_KEY in environ:
                raise environ.pop(REFUSAL_KEY)  # popped: an error that its own traceback reaches is garbage for long
            status, text = answer_to(take(environ, entity, event))
            return Response(text, status, content_type="application/json")
        except IntakeUnavailableError as error:
            edge.unstored.add(error.code)
            raise
        except UnprovenError as error:
            body = environ.get(BODY_KEY, b"")
            size = request.content_length or len(body)
            named = partial(_named, environ, entity, event, body)
            return reject(edge, allowance, request, error=error, body=body, body_size=size, named=named)
        except NotUnderstoodError as error:
            # What came as parameters alone is kept as the form it amounts to, so that it can be read again.
            body = environ.get(BODY_KEY) or environ.get("QUERY_STRING", "").encode("latin-1")
            return set_aside(edge, error=error, body=body)

    routes.add_url_rule(f"{WEBHOOKS}/<entity>/<event>", "take", answer, methods=METHODS)
    routes.add_url_rule(WEBHOOKS, "take_any", answer, methods=METHODS)
    return routes


def _proven(environ: Mapping[str, Any], entity: str | None, event: str | None, body: bytes, trust: _Trust) -> Delivery:
    content_type = environ.get("CONTENT_TYPE") or ""
    query = pairs_of(environ.get("QUERY_STRING", "").encode("latin-1"))
    form: Sequence[Pair] | None = pairs_of(body) if is_form(content_type, body) else None
    headers = _Headers(environ)
    if trust.secrets is not None:
        verify(body=body, query=query, form=form, headers=headers, secrets=trust.secrets)
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


def _named(
    environ: Mapping[str, Any], entity: str | None, event: str | None, body: bytes
) -> tuple[str | None, str | None]:
    """The record a delivery nobody believes says it is about; it names none when it cannot be understood."""
    try:
        delivery = _proven(environ, entity, event, body, _Trust(None))
    except WebhookRefusedError:
        return None, None
    return delivery.entity, delivery.source_id
