"""The API as the ingest benchmark serves it: the product's own application, or the same answering at once."""

import os

from flask import Response

from tds_api.app import create_app
from tds_api.door import Door
from tds_api.tuning import tune_process
from tds_core.config import load_settings
from tds_core.sync.inbox import Receipt


def _nothing(**_: str) -> Response:
    return Response(b'{"event_id":"0","duplicate":false}', 202, content_type="application/json")


app = create_app(load_settings(), nudge=lambda _: None)
match os.environ.get("BENCHMARK_EMPTY"):
    case "door":  # the same door, which takes nothing in
        app.wsgi_app = Door(lambda *_: Receipt(0, False), app.wsgi_app)  # type: ignore[method-assign]
    case "view":  # Flask without the door, with a view that does nothing
        del app.wsgi_app
        app.view_functions["webhooks.take"] = _nothing
tune_process()
