"""The API as the ingest benchmark serves it: the product's own application, or the same answering at once."""

import os

from flask import Response

from tds_api.app import create_app
from tds_api.tuning import tune_process
from tds_core.config import load_settings


def _nothing(**_: str) -> Response:
    return Response(b'{"event_id":"0","duplicate":false}', 202, content_type="application/json")


app = create_app(load_settings(), nudge=lambda _: None)
if os.environ.get("BENCHMARK_EMPTY"):
    app.view_functions["webhooks.take"] = _nothing
tune_process()
