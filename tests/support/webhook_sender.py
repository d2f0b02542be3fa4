"""A sender of webhooks for tests: signs as Zoho does and sends to the application under test."""

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from flask import Flask
from sqlalchemy import Engine, text
from werkzeug.test import TestResponse

from tds_api.app import create_app
from tds_core.config.settings import load_settings

SECRET = "newsecret123456"
PREVIOUS_SECRET = "oldsecret123456"
TOKEN = "a-token-for-tests-only"
PATH = "/api/tds/zoho/webhooks/product/updated"
GENERIC = "/api/tds/zoho/webhooks"
FORM = "application/x-www-form-urlencoded"


def item(source_id: Any = "460000000038080", **more: Any) -> dict[str, Any]:
    """A whole item as Zoho sends it."""
    whole = {
        "item_id": source_id,
        "name": "Blue widget",
        "sku": "W-1",
        "rate": 12.5,
        "status": "active",
        "last_modified_time": "2026-11-22T09:30:00+0300",
    }
    return {**whole, **more}


def wrapped(source_id: Any = "460000000038080", **more: Any) -> bytes:
    """The body of an item webhook."""
    return json.dumps({"item": item(source_id, **more)}).encode()


def signature(body: bytes, *, query: str = "", form: str = "", secret: str = SECRET) -> str:
    """What Zoho puts into X-Zoho-Webhook-Signature; a form is signed by its fields alone."""
    pairs = sorted(pair for part in (query, form) for pair in parse_qsl(part, True, errors="surrogateescape"))
    signed = "".join(name + value for name, value in pairs).encode("utf-8", "surrogateescape")
    signed += b"" if form else body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


class Sender:
    """Sends to one application and looks into its database."""

    def __init__(self, app: Flask, engine: Engine) -> None:
        self.app, self.engine = app, engine
        self.nudged: list[str] = []

    def send(
        self,
        body: bytes,
        path: str = PATH,
        *,
        query: str = "",
        content_type: str = "application/json",
        secret: str | None = SECRET,
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
    ) -> TestResponse:
        """Send one webhook, signed unless `secret` is None."""
        form = body.decode("latin-1") if content_type.lower().startswith(FORM) else ""
        signed = {"X-Zoho-Webhook-Signature": signature(body, query=query, form=form, secret=secret)} if secret else {}
        return self.app.test_client().open(
            path,
            method=method,
            data=body,
            query_string=query,
            content_type=content_type,
            headers={**signed, **(headers or {})},
        )

    def get(self, path: str, **arguments: Any) -> TestResponse:
        """GET as an operator."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return self.app.test_client().get(path, headers=headers, query_string=arguments or None)

    def post(self, path: str, body: Any = None) -> TestResponse:
        """POST as an operator."""
        return self.app.test_client().post(path, json=body, headers={"Authorization": f"Bearer {TOKEN}"})

    def rows(self, statement: str, **values: Any) -> list[Any]:
        """What the database says."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement), values))

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(self.rows(f"select count(*) from {table}")[0][0])

    def believed(self) -> tuple[int, int, int]:
        """Rows of the mirror, of the queue, and events that are not quarantined: what a bad request must not change."""
        events = self.rows("select count(*) from tds_inbox_events where verdict is distinct from 'quarantined'")
        return self.count("erp.product"), self.count("tds_sync_queue"), int(events[0][0])


@contextmanager
def sender_for(database: str, engine: Engine, **environ: str) -> Iterator[Sender]:
    """A sender to a new application on `database`."""
    params = {
        "TDS_DATABASE_URL": database,
        "ZOHO_WEBHOOK_SECRET": SECRET,
        "ZOHO_WEBHOOK_SECRET_PREVIOUS": PREVIOUS_SECRET,
        "TDS_API_TOKEN": TOKEN,
        **environ,
    }
    nudged: list[str] = []
    app = create_app(load_settings(params), nudge=nudged.append)
    sender = Sender(app, engine)
    sender.nudged = nudged
    yield sender
    app.extensions["tds"].close()
