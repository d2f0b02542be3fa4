"""Received webhooks and refused deliveries are listed by verdict, entity, record and time, also as commands."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.support.command_line import CommandLine
from tests.support.webhook_sender import Sender, sender_for, wrapped
from tests.support.world import ScriptedSource, World, delivery, invoice, product

RECENT, REJECTED = "/api/tds/zoho/webhooks/recent", "/api/tds/zoho/webhooks/rejected"


@pytest.fixture
def sender(world: World, source: ScriptedSource, database: str, engine: Engine) -> Iterator[Sender]:
    """One product applied, then an older one of it; an invoice that is still open; two deliveries refused."""
    world.deliver(delivery("product", product(second=5)))
    world.drain("product")
    world.deliver(delivery("product", product(second=1)))
    world.drain("product")
    world.deliver(delivery("invoice", invoice()))
    with sender_for(database, engine) as sender:
        for source_id in ("460000000000001", "460000000000002"):
            assert sender.send(wrapped(source_id), secret="wrong").status_code == 401
        yield sender


@pytest.fixture
def tds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys, columns=None)


def test_the_command_lists_events_by_verdict_entity_and_record(sender: Sender, tds: CommandLine) -> None:
    recent = ("zoho", "webhooks", "recent", "--json")
    assert [(each["entity"], each["verdict"]) for each in tds(*recent).json] == [
        ("invoice", None), ("product", "stale"), ("product", "applied"),
    ]  # fmt: skip
    assert [each["verdict"] for each in tds(*recent, "--verdict", "stale", "--entity", "product").json] == ["stale"]
    assert [each["entity"] for each in tds(*recent, "--verdict", "open").json] == ["invoice"]
    assert len(tds(*recent, "--id", "460000000000001", "--from", "1h").json) == 2
    assert tds(*recent, "--to", "1h").json == []
    shown = tds("zoho", "webhooks", "recent", "--verdict", "stale").out
    assert ("stale" in shown, "460000000000001" in shown) == (True, True)


def test_the_command_lists_refused_deliveries_by_what_they_claim(sender: Sender, tds: CommandLine) -> None:
    rejected = ("zoho", "webhooks", "rejected", "--json")
    assert [each["reason"] for each in tds(*rejected).json] == ["signature_wrong"] * 2
    [one] = tds(*rejected, "--id", "460000000000002", "--entity", "product").json
    assert one["source_id"] == "460000000000002"
    assert tds(*rejected, "--entity", "invoice").json == []
    assert tds(*rejected, "--reason", "other").json == []
    assert "signature_wrong" in tds("zoho", "webhooks", "rejected").out


def test_refused_deliveries_are_filtered_over_http_as_well(sender: Sender) -> None:
    assert len(sender.get(REJECTED, entity="product").json["items"]) == 2
    assert len(sender.get(REJECTED, source_id="460000000000001").json["items"]) == 1
    assert sender.get(REJECTED, entity="invoice").json["items"] == []


def test_what_is_no_verdict_or_entity_is_refused_with_those_there_are(sender: Sender, tds: CommandLine) -> None:
    said = tds("zoho", "webhooks", "recent", "--verdict", "lost")
    assert (said.exit_code, "dead_lettered" in said.errors) == (2, True)
    said = tds("zoho", "webhooks", "recent", "--entity", "gadget")
    assert (said.exit_code, "stock_level" in said.errors) == (1, True)
