"""The door: answers good webhooks before Flask is asked, and leaves every other request to Flask."""

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tds_api.correlation import CORRELATION_KEY, HEADER, choose_correlation_id
from tds_core.slow import watch
from tds_core.sync.inbox import Receipt

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

WEBHOOKS = "/api/tds/zoho/webhooks"
#: What Zoho's form for webhooks lets a rule send with.
METHODS = frozenset({"POST", "PUT", "DELETE"})
#: Where a WSGI environment carries why the door did not answer.
REFUSAL_KEY = "tds.webhook_refusal"

_BEFORE_NAMES = WEBHOOKS + "/"
_NAMES_AT = len(_BEFORE_NAMES)

#: Makes the webhook of a WSGI environment durable; entity and event are what its address names.
Take = Callable[[dict[str, Any], str | None, str | None], Receipt]


class Door:
    """A WSGI application in front of Flask's. Flask's part in a request costs more than all of a webhook's own.

    What `take` raises is handed on in the environment: Flask's view of the same route answers it.
    """

    def __init__(self, take: Take, behind: "WSGIApplication") -> None:
        self._take = take
        self._behind = behind

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        names = _named(environ.get("PATH_INFO", "")) if method in METHODS else None
        if names is None:
            return self._behind(environ, start_response)
        environ[CORRELATION_KEY] = correlation_id = choose_correlation_id(environ)
        began = perf_counter()
        try:
            receipt = self._take(environ, *names)
        except Exception as error:  # whatever it is: Flask knows its answer
            environ[REFUSAL_KEY] = error
            return self._behind(environ, start_response)
        watch.tell("request", perf_counter() - began, method=method, route="webhooks", correlation_id=correlation_id)
        status, body = answer_to(receipt)
        headers = [
            ("Content-Type", "application/json"), ("Content-Length", str(len(body))), (HEADER, correlation_id),
        ]  # fmt: skip
        start_response(status, headers)
        return (body,)


def answer_to(receipt: Receipt) -> tuple[str, bytes]:
    """Status and body: 202 with a new event's id; 200 with the first event's for what was received before."""
    if receipt.duplicate:
        return "200 OK", b'{"event_id":"%d","duplicate":true}' % receipt.event_id
    return "202 ACCEPTED", b'{"event_id":"%d","duplicate":false}' % receipt.event_id


def _named(path: str) -> tuple[str | None, str | None] | None:
    """Entity and event as the address of a webhook names them; None for every address Flask has to make out.

    A number is no entity but an event, of which an operator wants something.
    """
    if path == WEBHOOKS:
        return None, None
    if not path.startswith(_BEFORE_NAMES) or not path.isascii():
        return None
    entity, _, event = path[_NAMES_AT:].partition("/")
    return (entity, event) if entity and event and "/" not in event and not entity.isdigit() else None
