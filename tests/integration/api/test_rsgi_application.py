"""The application promises: good webhooks are answered from the loop, and Flask answers everything else."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from tds_api.http import request_body
from tds_api.inbox.group_commit import Pace
from tds_api.rsgi_application import Application
from tests.support.rsgi_client import Exchange, answered, asked
from tests.support.webhook_sender import FORM, GENERIC, PATH, SECRET, Sender, sender_for, signature, wrapped


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


@pytest.fixture
def application(sender: Sender) -> Application:
    return Application(sender.app, sender.app.extensions["tds"])


@pytest.fixture
def without_flask(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be asked of Flask."""
    monkeypatch.setattr(sender.app, "wsgi_app", lambda *_: pytest.fail("Flask was asked"))


def signed(body: bytes, *, query: str = "", content_type: str = "application/json") -> dict[str, str]:
    form = body.decode("latin-1") if content_type == FORM else ""
    proof = signature(body, query=query, form=form, secret=SECRET)
    return {"content-type": content_type, "x-zoho-webhook-signature": proof, "x-correlation-id": "mine"}


def told(exchange: Exchange) -> tuple[int, dict[str, str], Any]:
    assert exchange.answered is not None
    status, headers, body = exchange.answered
    return status, headers, json.loads(body)


@pytest.mark.usefixtures("without_flask")
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_good_webhook_is_durable_and_answered_without_flask(
    application: Application, sender: Sender, method: str
) -> None:
    body = wrapped("1")
    status, headers, found = told(answered(application, *asked(method, PATH, body, headers=signed(body))))
    assert (status, found["duplicate"], headers["x-correlation-id"]) == (202, False, "mine")
    assert (headers["content-type"], headers["x-content-type-options"]) == ("application/json", "nosniff")
    [event] = sender.rows("select id, correlation_id from tds_inbox_events")
    assert (str(event.id), event.correlation_id) == (found["event_id"], "mine")
    again = told(answered(application, *asked(method, PATH, body, headers=signed(body))))
    assert (again[0], again[2]) == (200, {"event_id": found["event_id"], "duplicate": True})


@pytest.mark.usefixtures("without_flask")
def test_a_large_webhook_is_taken_too(application: Application, sender: Sender) -> None:
    body = wrapped("1", description="x" * 300_000)
    assert answered(application, *asked("POST", PATH, body, headers=signed(body))).status == 202
    query = "entity=item&event=edited"
    body = wrapped("2")
    assert (
        answered(application, *asked("POST", GENERIC, body, query=query, headers=signed(body, query=query))).status
        == 202
    )
    assert sender.count("tds_inbox_events") == 2


@pytest.mark.parametrize(("asking", "status", "code"), [
    ((PATH, wrapped(), {}), 401, "signature_missing"),
    ((PATH, wrapped(), {"x-zoho-webhook-signature": "0" * 64}), 401, "signature_wrong"),
    ((PATH, b"{", signed(b"{")), 422, "body_unreadable"),
    ((f"{GENERIC}/product/approved", wrapped(), signed(wrapped())), 404, "unknown_event"),
    ((PATH, b"<x/>", signed(b"<x/>", content_type="text/xml")), 415, "unsupported_content_type"),
    ((PATH, wrapped(), {"content-length": "2000000"}), 413, "body_too_large"),
    ((PATH, wrapped(), {"content-length": "900"}), 400, "body_cut_short"),
])  # fmt: skip
def test_a_refusal_is_kept_and_answered_as_flask_does(
    application: Application, sender: Sender, asking: tuple[str, bytes, dict[str, str]], status: int, code: str
) -> None:
    path, body, headers = asking
    found = told(answered(application, *asked("POST", path, body, headers=headers)))
    assert (found[0], found[1]["content-type"], found[2]["code"]) == (status, "application/problem+json", code)
    assert found[2]["correlation_id"] == found[1]["x-correlation-id"]
    assert sender.count("tds_rejected_deliveries") + sender.count("tds_inbox_events") == 1
    assert sender.believed() == (0, 0, 0)


@pytest.mark.parametrize("path", [f"{PATH}/", f"{GENERIC}/", "/api/tds/zoho/webhooks/Product/Updated"])
def test_an_address_in_an_unusual_spelling_is_taken(application: Application, sender: Sender, path: str) -> None:
    body = wrapped("1")
    assert answered(application, *asked("POST", path, body, headers=signed(body))).status == 202
    assert sender.count("tds_inbox_events") == 1


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/healthz", 200), ("HEAD", "/healthz", 200), ("GET", f"{GENERIC}/recent", 401), ("GET", "/nowhere", 404),
    ("PATCH", PATH, 405), ("POST", f"{GENERIC}/7/replay", 401), ("GET", "/api/tds/static/pages.css", 200),
])  # fmt: skip
def test_every_other_request_is_flasks(application: Application, method: str, path: str, status: int) -> None:
    assert answered(application, *asked(method, path)).status == status


def test_a_webhook_that_drips_is_given_up_and_kept(
    application: Application, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "GRACE_SECONDS", 0.05)
    monkeypatch.setattr(request_body, "LEAST_BYTES_PER_SECOND", 10**6)
    scope, exchange = asked("POST", PATH, wrapped(), headers=signed(wrapped()))
    exchange.pieces, exchange.pause = [b"x"] * 1000, 0.02
    status, _, found = told(answered(application, scope, exchange))
    assert (status, found["code"]) == (408, "body_too_slow")
    assert sender.rows("select reason, status from tds_rejected_deliveries") == [("body_too_slow", 408)]


def test_a_body_over_the_limit_is_refused_on_every_other_route(application: Application) -> None:
    for path in ("/api/tds/session", "/api/tds/login", "/api/tds/queue/pause", "/nowhere"):
        scope, exchange = asked("POST", path, b"x", headers={"content-length": "60000000"})
        status, _, found = told(answered(application, scope, exchange))
        assert (status, found["code"]) == (413, "body_too_large"), path


@pytest.mark.usefixtures("without_flask")
def test_who_would_wait_too_long_is_turned_away_before_anything_is_read(
    application: Application, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "wait_seconds", lambda _self, _count: 2.1)
    application._webhooks._open_count = 1
    body = wrapped("1")
    scope, exchange = asked("POST", PATH, body, headers=signed(body))
    status, headers, found = told(answered(application, scope, exchange))
    assert (status, headers["retry-after"], found["code"]) == (503, "5", "intake_overloaded")
    assert (exchange.read, sender.count("tds_inbox_events")) == (0, 0)
    application._webhooks._open_count = 0
    assert answered(application, *asked("POST", PATH, body, headers=signed(body))).status == 202, (
        "somebody must go first"
    )
