"""A probe goes the way of a webhook, from the public address to the record's row, and says where it stops."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from tds_api.app import create_app
from tds_core.config.settings import load_settings
from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.webhook_sender import SECRET
from tests.support.world import World


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The address of an application while it is served."""
    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()


@pytest.fixture
def tds(synced: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[CommandLine]:
    """Commands beside an API at TDS_PUBLIC_URL whose nudges are worked off at once."""
    monkeypatch.setenv("ZOHO_WEBHOOK_SECRET", SECRET)
    with served(create_app(load_settings(), nudge=synced.drain)) as address:
        monkeypatch.setenv("TDS_PUBLIC_URL", address)
        yield CommandLine(monkeypatch, capsys)


def test_it_comes_to_the_row_and_writes_what_zoho_has(tds: CommandLine, synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    source_id = synced.value("select min(source_id) from erp.product")
    before = synced.row("product", source_id)
    said = tds("zoho", "webhooks", "test", "--id", source_id, "--json")
    assert said.exit_code == 0, said.errors
    assert (said.json["entity"], said.json["source_id"], said.json["verdict"]) == ("product", source_id, "unchanged")
    assert said.json["url"].endswith("/api/tds/zoho/webhooks/product/updated")
    after = synced.row("product", source_id)
    assert {name: after[name] for name in ("name", "sku", "price", "version")} == {
        name: before[name] for name in ("name", "sku", "price", "version")
    }
    again = tds("zoho", "webhooks", "test")
    assert (again.exit_code, "✓ unchanged" in again.errors, "tds explain product" in again.errors) == (0, True, True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"ZOHO_WEBHOOK_SECRET": "anothersecret1"}, (1, "answers 401: the TDS there has another ZOHO_WEBHOOK_SECRET")),
        ({"ZOHO_WEBHOOK_SECRET": ""}, (2, "Set ZOHO_WEBHOOK_SECRET")),
        ({"TDS_PUBLIC_URL": "http://127.0.0.1:9"}, (1, "Nobody answers at http://127.0.0.1:9")),
    ],
)
def test_it_says_where_it_stops(
    tds: CommandLine, synced: World, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], expected: tuple[int, str]
) -> None:
    synced.run("product", "full")
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    said = tds("zoho", "webhooks", "test")
    code, says = expected
    assert (said.exit_code, says in " ".join(said.errors.split())) == (code, True), said.errors


def test_what_is_no_tds_and_a_tds_with_another_database_are_told_apart(
    tds: CommandLine, synced: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced.run("product", "full")
    answer: dict[str, Any] = {"status": 200, "body": "hello"}
    stranger = Flask("stranger")
    stranger.add_url_rule("/<path:path>", methods=["POST"], view_func=lambda path: (answer["body"], answer["status"]))
    with served(stranger) as address:
        monkeypatch.setenv("TDS_PUBLIC_URL", address)
        assert "it is no TDS" in tds("zoho", "webhooks", "test").errors
        answer["body"] = '{"event_id": "987654"}'
        assert "a TDS with another one" in " ".join(tds("zoho", "webhooks", "test").errors.split())
        answer["status"] = 404
        assert "the proxy leads elsewhere" in " ".join(tds("zoho", "webhooks", "test").errors.split())


def test_an_event_that_nobody_works_off_is_told_after_the_wait(
    tds: CommandLine, synced: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced.run("product", "full")
    with served(create_app(load_settings(), nudge=lambda _entity: None)) as address:
        monkeypatch.setenv("TDS_PUBLIC_URL", address)
        said = tds("zoho", "webhooks", "test", "--seconds", "1")
    assert (said.exit_code, "tds workers status" in said.errors) == (1, True)


def test_without_a_record_it_says_what_to_sync_first(tds: CommandLine) -> None:
    said = tds("zoho", "webhooks", "test", "--entity", "invoice")
    assert (said.exit_code, "tds sync invoice" in said.errors) == (1, True)
    assert "mirrors nothing called" in tds("zoho", "webhooks", "test", "--entity", "nothing").errors
