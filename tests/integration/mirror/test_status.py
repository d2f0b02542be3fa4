"""Headers first: what is still to be read whole is counted, and told with the day on which the quota lets it end."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.webhook_sender import sender_for
from tests.support.world import World


@pytest.fixture
def tds(synced: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def test_details_left_are_counted_and_become_fewer(tds: CommandLine, synced: World) -> None:
    synced.run("invoice", "full", drains=False)
    [ahead] = tds("stats", "--json").json["details"]
    assert (ahead["api"], ahead["left"], ahead["call_count"]) == ("books", {"invoice": 25}, 25)
    assert "invoice 25; 25 calls" in tds("runs").out
    while synced.drain("invoice"):
        pass  # a busy worker gives bulk back half read
    said = tds("stats", "--json").json
    assert said["details"] == []
    assert {row["entity"]: row["details_left"] for row in said["entities"]}["invoice"] == 0
    assert {row["entity"]: row["details_left"] for row in said["entities"]}["customer"] is None


def test_the_quota_says_how_many_today_and_on_which_day_they_end(
    tds: CommandLine, synced: World, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced.run("invoice", "full", drains=False)
    monkeypatch.setenv("TDS_REDIS_URL", redis_url)
    monkeypatch.setenv("ZOHO_BOOKS_CALLS_PER_DAY", "10")
    [ahead] = tds("stats", "--json").json["details"]
    assert ahead["calls_today"] == ahead["calls_per_day"] == 6
    assert datetime.fromisoformat(ahead["ends_at"]) > datetime.now(UTC) + timedelta(days=3)
    assert "of which today's quota allows 6; all read 20" in tds("stats").out


def test_stock_is_read_a_hundred_products_a_call(tds: CommandLine, synced: World) -> None:
    synced.run("stock_level", "full", drains=False)
    [ahead] = tds("stats", "--json").json["details"]
    assert (ahead["left"], ahead["call_count"]) == ({"stock_level": 45}, 1)


def test_the_overview_shows_them_over_http_also_while_nobody_knows_the_quota(
    synced: World, standin: StandIn, database: str
) -> None:
    synced.run("invoice", "full", drains=False)
    with sender_for(database, synced.engine, TDS_REDIS_URL="redis://127.0.0.1:1/0") as sender:
        rows = {row["entity"]: row for row in sender.get("/api/tds/entities").json}
    assert (rows["invoice"]["details_left"], rows["invoice"]["details_end_at"]) == (25, None)
    with sender_for(database, synced.engine) as sender:
        rows = {row["entity"]: row for row in sender.get("/api/tds/entities").json}
    assert rows["invoice"]["details_end_at"] is not None
