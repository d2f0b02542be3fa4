"""Looking at a record as Zoho has it now: compared, cached while nothing newer is known, and nothing is written."""

import os
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World, delivery, forget_context


@pytest.fixture
def ids(synced: World, standin: StandIn, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The items of a synced organisation."""
    synced.run("product", "full")
    monkeypatch.setenv("TDS_REDIS_URL", redis_url)
    forget_context()
    standin.calls.clear()
    return standin.ids("items")


@pytest.fixture
def sender(ids: list[str], database: str, engine: Engine, standin: StandIn) -> Iterator[Sender]:
    params = {name: os.environ[name] for name in ("TDS_REDIS_URL", "TDS_SECRET_KEY")}
    with sender_for(database, engine, **params, **standin.settings) as sender:
        yield sender


@pytest.fixture
def tds(ids: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def asked(standin: StandIn) -> int:
    return sum("/items/" in path for path in standin.calls)


def test_a_difference_is_shown_and_nothing_is_written(
    sender: Sender, ids: list[str], standin: StandIn, synced: World
) -> None:
    before = synced.row("product", ids[0])
    standin.edit("items", ids[0], name="Renamed")
    found = sender.get(f"/api/tds/live/product/{ids[0]}").json
    assert found["verdict"] == "different"
    assert {"field": "name", "here": before["name"], "there": "Renamed"} in found["differences"]
    assert found["record"]["name"] == "Renamed"
    assert synced.row("product", ids[0]) == before
    assert sender.get(f"/api/tds/live/product/{ids[1]}").json["verdict"] == "equal"


def test_a_second_look_asks_nobody_until_something_newer_is_known(
    sender: Sender, ids: list[str], standin: StandIn, synced: World
) -> None:
    path = f"/api/tds/live/product/{ids[0]}"
    assert [sender.get(path).json["is_cached"] for _ in range(3)] == [False, True, True]
    assert asked(standin) == 1
    synced.deliver(delivery("product", {**standin.detail("items", ids[0]), "name": "Announced"}))
    assert [sender.get(path).json["is_cached"] for _ in range(2)] == [False, True]
    standin.edit("items", ids[0], name="Synced")
    synced.run("product", "incremental")
    found = sender.get(path).json
    assert (found["is_cached"], found["record"]["name"], found["verdict"]) == (False, "Synced", "equal")


def test_who_has_it_and_who_does_not(sender: Sender, ids: list[str], standin: StandIn) -> None:
    standin.delete("items", ids[0])
    standin.create("items", name="New", rate=1)
    new = standin.ids("items")[-1]
    for source_id, verdict in ((ids[0], "only_here"), (new, "only_there"), ("1", "nowhere")):
        assert sender.get(f"/api/tds/live/product/{source_id}").json["verdict"] == verdict
    assert sender.get("/api/tds/live/planet/1").status_code == 404


def test_what_zoho_answers_with_a_fault_is_reported_as_one(sender: Sender, ids: list[str], standin: StandIn) -> None:
    standin.fail("html_502", "/inventory/v1/items", count=1)
    failed = sender.get(f"/api/tds/live/product/{ids[0]}")
    assert (failed.status_code, failed.json["code"]) == (502, "transient")
    standin.fail("rate_minute", "/inventory/v1/items", count=1)
    refused = sender.get(f"/api/tds/live/product/{ids[0]}")
    assert (refused.status_code, refused.json["code"]) == (503, "rate_limited")


def test_no_word_of_equality_stands_above_a_difference(
    tds: CommandLine, synced: World, ids: list[str], standin: StandIn
) -> None:
    assert tds("explain", "product", ids[0]).out.startswith("Equal to Zoho as of")
    for column, value in (("category_name", None), ("unit", "kg"), ("custom_fields", None)):
        synced.execute(f"update erp.product set {column} = :value where source_id = :id", value=value, id=ids[0])
        said = tds("explain", "product", ids[0], "--live")
        assert said.out.startswith("Zoho says otherwise now, in "), column
        assert column in said.out
        assert "tds sync product --mode targeted" in said.out
        assert tds("explain", "product", ids[0], "--live", "--json").json["verdict"]["state"] == "different"


def test_what_zoho_does_not_show_of_one_record_is_named(tds: CommandLine, synced: World, standin: StandIn) -> None:
    synced.run("user", "full")
    user = standin.ids("users")[0]
    found = tds("explain", "user", user, "--live", "--json").json["live"]
    assert (found["verdict"], found["not_shown"]) == ("equal", ["email"])


def test_the_command_line_compares_and_counts(tds: CommandLine, ids: list[str], standin: StandIn) -> None:
    standin.edit("items", ids[0], name="Renamed")
    said = tds("explain", "product", ids[0], "--live")
    assert "Zoho says otherwise" in said.out
    assert "Renamed" in said.out
    assert tds("explain", "product", ids[0], "--live", "--json").json["live"]["is_cached"]
    assert tds("stats", "--json").json["live_reads"] == {"cached": 1, "asked": 1}
    assert "50% of them answered from the cache" in tds("stats").out
