"""The process the benchmark of seeing measures: webhooks taken in and worked off, with metrics and logs and without."""

import hashlib
import hmac
import io
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from tds_api.app import create_app
from tds_api.wsgi import tune_process
from tds_core.config.settings import load_settings
from tds_core.observability.logging import configure_logging
from tds_core.observability.slow_operations import SlowOperations
from tds_tasks import worker_nudges
from tds_tasks.work_batches import drain

PATH = "/api/tds/zoho/webhooks/product/updated"


def measured(rounds: int, webhooks: int) -> dict[str, Any]:
    """In the process that is measured. The first round of each kind warms up and is not counted."""

    settings = load_settings()
    worker_nudges._send = lambda *_: None
    app = create_app(settings, nudge=lambda _: None)
    tune_process()
    took: dict[str, list[float]] = {"request": [], "request_unseen": [], "worker": [], "worker_unseen": []}
    with Path(os.devnull).open("w") as nowhere:
        configure_logging(settings, process="api", stream=nowhere)
        for number in range(2 * rounds + 2):
            bodies = [_body(number * webhooks + each) for each in range(webhooks)]
            suffix = "_unseen" if number % 4 in (1, 2) else ""  # neither is always the first of the two
            with _unseen() if suffix else nullcontext():
                seconds = _processor_seconds(
                    lambda bodies=bodies: _send(app.wsgi_app, bodies, settings.zoho_webhook_secret)
                )
                worked = _processor_seconds(lambda: drain("product", budget_seconds=600))
            if number > 1:
                took["request" + suffix].append(seconds / webhooks * 1e6)
                took["worker" + suffix].append(worked / webhooks * 1e6)
    app.extensions["tds"].close()
    figures = {f"{name}_us": round(median(values), 1) for name, values in took.items()}
    for name in ("request", "worker"):
        more = [a / b - 1 for a, b in zip(took[name], took[f"{name}_unseen"], strict=True)]
        figures[f"{name}_more_percent"] = round(100 * median(more), 1)
    return figures


def _processor_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _body(number: int) -> bytes:
    stamp = f"2026-11-22T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}+0000"
    record = {"item_id": str(460000000000000 + number), "name": f"Item {number}", "sku": f"S-{number}", "rate": 10.5,
              "status": "active", "last_modified_time": stamp}  # fmt: skip
    return json.dumps({"item": record}).encode()


def _send(application: Any, bodies: list[bytes], secret: str) -> None:
    for body in bodies:
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        environ = {
            "REQUEST_METHOD": "POST", "PATH_INFO": PATH, "QUERY_STRING": "", "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)), "HTTP_HOST": "localhost", "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body), "HTTP_X_ZOHO_WEBHOOK_SIGNATURE": signature,
        }  # fmt: skip
        status: list[str] = []
        application(environ, lambda said, _headers, status=status: status.append(said))
        assert status == ["202 ACCEPTED"], status


@contextmanager
def _unseen() -> Iterator[None]:
    """Let nothing be counted, timed or logged."""

    def nothing(*_: Any, **__: Any) -> None:
        return None

    patched = [(MetricWrapperBase, "labels", lambda self, *_: self), (Counter, "inc", nothing),
               (Histogram, "observe", nothing), (Gauge, "set", nothing),
               (SlowOperations, "observe", nothing)]  # fmt: skip
    before = [(kind, name, getattr(kind, name)) for kind, name, _ in patched]
    level = logging.root.level
    for kind, name, instead in patched:
        setattr(kind, name, instead)
    logging.root.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logging.root.setLevel(level)
        for kind, name, own in before:
            setattr(kind, name, own)


if __name__ == "__main__":
    print(json.dumps(measured(*map(int, sys.argv[1:]))))
