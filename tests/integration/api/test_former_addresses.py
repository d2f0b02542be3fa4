"""Addresses of the previous system lead to today's, or say that there is none."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.support.webhook_sender import TOKEN, Sender, sender_for, signature, wrapped


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


@pytest.mark.parametrize(
    ("former", "here"),
    [
        ("/api/tds/webhooks/health", "/api/tds/zoho/webhooks/health"),
        ("/api/tds/webhooks/recent?limit=2", "/api/tds/zoho/webhooks/recent?limit=2"),
        ("/api/bff/tds/dead-letter", "/api/tds/dead-letter"),
        ("/api/bff/tds/webhooks/health", "/api/tds/zoho/webhooks/health"),
        ("/api/bff/tds/runs", "/api/tds/runs"),
        ("/api/bff/tds/auto-healing/stats", "/api/tds/auto-healing/stats"),
    ],
)
def test_a_former_address_leads_to_the_route_of_today(sender: Sender, former: str, here: str) -> None:
    client = sender.app.test_client()
    moved = client.get(former)
    assert (moved.status_code, moved.headers["Location"]) == (308, here)
    assert moved.json["address"] == here.partition("?")[0]
    shown = client.get(former, headers={"Authorization": f"Bearer {TOKEN}"}, follow_redirects=True)
    assert shown.status_code == 200, shown.text


def test_a_webhook_sent_to_a_former_address_is_led_on(sender: Sender) -> None:
    body = wrapped()
    headers = {"X-Zoho-Webhook-Signature": signature(body), "Content-Type": "application/json"}
    sent = sender.app.test_client().post(
        "/api/bff/tds/zoho/webhooks/product/updated", data=body, headers=headers, follow_redirects=True
    )
    assert (sent.status_code, sent.request.path) == (202, "/api/tds/zoho/webhooks/product/updated")


@pytest.mark.parametrize(
    ("method", "former"),
    [("GET", "/api/bff/tds/zoho/stock-widget"), ("DELETE", "/api/bff/tds/runs"), ("GET", "/api/tds/webhooks/nothing")],
)
def test_a_former_address_without_a_route_is_gone_and_says_where_to_look(
    sender: Sender, method: str, former: str
) -> None:
    gone = sender.app.test_client().open(former, method=method)
    assert (gone.status_code, gone.json["code"], gone.json["address"]) == (410, "gone", "/api/tds/docs")
    assert gone.content_type == "application/problem+json"


def test_what_was_never_an_address_is_not_found(sender: Sender) -> None:
    assert sender.app.test_client().get("/api/bff/other").status_code == 404
