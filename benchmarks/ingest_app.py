"""The API as the ingest benchmark serves it: the product's own application, or the same answering at once."""

import os
from typing import Any

from flask import Response

from tds_api.app import create_app
from tds_api.auth.permissions import ITSELF, needs
from tds_api.rsgi_application import Application, Exchange
from tds_api.wsgi import tune_process
from tds_core.config.settings import load_settings
from tds_core.inbox.receive import Receipt


def _nothing(**_: str) -> Response:
    return Response(b'{"event_id":"0","duplicate":false}', 202, content_type="application/json")


async def _taken(*_: object) -> Receipt:
    return Receipt(0, False)


async def _passed_on(self: Application, environ: dict[str, Any], exchange: Exchange, _: object) -> None:
    await self._pass_on(environ, exchange)


_flask = create_app(load_settings(), nudge=lambda _: None)
app = Application(_flask, _flask.extensions["tds"])
match os.environ.get("BENCHMARK_EMPTY"):
    case "door":  # the same application, which reads, proves and stores nothing
        Application._taken = _taken  # type: ignore[method-assign]
    case "view":  # every webhook goes to Flask, to a view that does nothing
        Application._take = _passed_on  # type: ignore[method-assign]
        _flask.view_functions["webhooks.take"] = needs(ITSELF)(_nothing)
tune_process()
