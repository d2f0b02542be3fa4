"""The API as the ingest benchmark serves it: the product's own application, or the same answering at once."""

import os

from flask import Response

from tds_api.app import create_app
from tds_api.auth.permissions import ITSELF, needs
from tds_api.http.wsgi_adapter import Environ, HttpExchange
from tds_api.rsgi_application import Application
from tds_api.webhooks.endpoint import WebhookEndpoint
from tds_api.wsgi import tune_process
from tds_core.config.settings import load_settings
from tds_core.inbox.receive import Receipt


def _nothing(**_: str) -> Response:
    return Response(b'{"event_id":"0","duplicate":false}', 202, content_type="application/json")


async def _without_work(*_: object) -> Receipt:
    return Receipt(0, False)


async def _with_flask(_self: WebhookEndpoint, environ: Environ, exchange: HttpExchange, _: object) -> None:
    await app._answer_other(environ, exchange)


_flask = create_app(load_settings(), nudge=lambda _: None)
app = Application(_flask, _flask.extensions["tds"])
match os.environ.get("BENCHMARK_EMPTY"):
    case "door":  # the same application, which reads, proves and stores nothing
        WebhookEndpoint._make_durable = _without_work  # type: ignore[method-assign]
    case "view":  # every webhook goes to Flask, to a view that does nothing
        WebhookEndpoint.handle = _with_flask  # type: ignore[method-assign]
        _flask.view_functions["webhooks.take"] = needs(ITSELF)(_nothing)
tune_process()
