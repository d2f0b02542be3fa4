"""The quota from end to end: every reading goes as what it is for, and what is used is shown to whoever may look."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import redis
from sqlalchemy import Engine

from tds_core.config.settings import load_settings
from tds_core.errors import ConfigError, QuotaError, RateError
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota.governor import open_governor
from tds_core.sources.zoho.quota.limits import limits_of
from tds_models.db import session_scope
from tds_tasks.work_batches import sync_batch
from tests.support.command_line import CommandLine
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import ScriptedSource, World, delivery, invoice, product


def test_each_reading_goes_as_what_it_is_for(world: World, source: ScriptedSource) -> None:
    source.records = {"1": product("1"), "2": product("2"), "3": product("3")}
    world.enqueue("product", "1", bulk=True)
    world.enqueue("product", "2")
    world.deliver(delivery("product", product("3"), complete=False))
    world.drain("product")
    assert source.asked == [["2", "3"], ["1"]]
    assert source.traffic == [Traffic.LIVE, Traffic.BACKFILL]
    source.records["4"] = invoice("4")
    world.enqueue("invoice", "4")
    world.drain("invoice")
    assert source.traffic[-1] is Traffic.OPERATOR


def test_bulk_reading_gives_its_worker_back_and_is_not_forgotten(
    world: World, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tds_tasks.work_batches.BULK_SECONDS", 0.0)
    source.records = {str(n): invoice(str(n)) for n in range(25)}
    world.enqueue("invoice", *source.records, bulk=True)
    first = sync_batch("invoice")
    assert first is not None
    assert [len(ids) for ids in source.asked] == [5]
    assert world.value("select count(*) from tds_sync_queue where lease_token is null and attempts = 0") == 20
    world.drain("invoice")
    assert (world.queue_depth(), len(world.mirror("invoice", "number"))) == (0, 25)


def test_bulk_work_that_is_held_back_keeps_what_was_read_and_waits_in_silence(
    world: World, source: ScriptedSource
) -> None:
    refusal = RateError("the minute is to be used evenly", after_seconds=7)
    refusal.needs_no_pause = True
    source.records = {"1": invoice("1"), "2": refusal, "3": refusal}
    world.enqueue("invoice", "1", "2", "3", bulk=True)
    world.drain("invoice")
    assert world.mirror("invoice", "number").keys() == {"1"}
    assert [row["attempts"] for row in world.rows("select attempts from tds_sync_queue")] == [0, 0]
    assert world.value("select count(*) from tds_sync_logs where source_id <> '1'") == 0


def hold_back(world: World, source: ScriptedSource, *, seconds: float) -> None:
    """Let back-fill of Books be refused a place."""
    refusal = QuotaError("the day's share is used", after_seconds=seconds)
    refusal.needs_no_pause = True
    source.records["0"] = refusal
    world.enqueue("invoice", "0", bulk=True)
    world.drain("invoice")
    source.asked.clear()


def test_back_fill_without_a_place_rests_as_a_whole_and_keeps_its_order(world: World, source: ScriptedSource) -> None:
    hold_back(world, source, seconds=50)
    source.records |= {each: invoice(each) for each in "012345"}
    world.enqueue("invoice", *"12345", bulk=True, bulk_rank={each: int(each) for each in "12345"})
    assert [world.drain(entity) for entity in ("invoice", "bill", "sales_order")] == [0, 0, 0]
    world.execute("update tds_backfill_rests set rests_until = now()")
    world.drain("invoice")
    assert [each for asked in source.asked for each in asked] == list("012345")


def test_what_is_urgent_and_what_has_a_quota_of_its_own_goes_on_meanwhile(world: World, source: ScriptedSource) -> None:
    hold_back(world, source, seconds=50)
    source.records |= {"7": invoice("7"), "8": product("8")}
    world.enqueue("invoice", "7")
    world.enqueue("product", "8", bulk=True)
    assert (world.drain("invoice"), world.drain("product")) == (1, 1)


def test_lists_are_read_before_details(world: World, source: ScriptedSource) -> None:
    source.records["1"] = invoice("1")
    world.enqueue("invoice", "1", bulk=True)
    run_id = world.request_run("bill", "full")
    assert world.drain("invoice") == 0
    world.execute("update tds_sync_runs set state = 'held' where id = :id", id=run_id)
    world.request_run("bill", "incremental")
    assert world.drain("invoice") == 1


def test_back_fill_rests_no_longer_than_a_quarter_of_an_hour_at_a_time(world: World, source: ScriptedSource) -> None:
    hold_back(world, source, seconds=86_400)
    assert 890 < world.value("select extract(epoch from rests_until - now())::float8 from tds_backfill_rests") <= 900


def test_our_own_refusal_leaves_the_source_open_to_the_others(world: World, source: ScriptedSource) -> None:
    refusal = RateError("the minute is full", after_seconds=50)
    refusal.needs_no_pause = True
    source.records = {"1": refusal, "2": product("2")}
    world.enqueue("product", "1", bulk=True)
    world.drain("product")
    world.enqueue("product", "2")
    world.drain("product")
    assert world.mirror("product", "name").keys() == {"2"}
    assert world.value("select attempts from tds_sync_queue where source_id = '1'") == 0


@pytest.fixture
def settings(redis_url: str) -> dict[str, str]:
    return {
        "TDS_REDIS_URL": redis_url,
        "ZOHO_ORGANIZATION_ID": "42",
        "ZOHO_BOOKS_CALLS_PER_DAY": "1000",
        "ZOHO_QUOTA_WAIT_SECONDS": "0",
    }


def spend(settings: dict[str, str], count: int, traffic: Traffic = Traffic.LIVE) -> None:
    governor = open_governor(load_settings(settings))
    for number in range(count):
        with governor.admit(api="books", traffic=traffic) as permit:
            told = {"X-Rate-Limit-Limit": "1000", "X-Rate-Limit-Remaining": str(900 - number)}
            permit.record_response(200, {**told, "X-Rate-Limit-Reset": "36000"})


def test_a_call_is_admitted_and_answered_in_two_round_trips_on_a_real_redis(
    settings: dict[str, str], redis_url: str
) -> None:
    spend(settings, 1)
    with redis.Redis.from_url(redis_url) as client:
        before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
        spend(settings, 5)
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] - before == 10


def test_the_settings_divide_what_zoho_allows() -> None:
    limits = limits_of(load_settings({}))
    assert [limits.ceiling(100, each) for each in Traffic] == [90, 81, 76, 63, 63]
    assert [limits.ceiling(10, each) for each in Traffic] == [9, 8, 7, 6, 6]
    fast = limits_of(load_settings({"ZOHO_QUOTA_SPEED": "60", "ZOHO_API_URL": "http://127.0.0.1:8100"}))
    assert (fast.minute_seconds, fast.day_seconds) == (1, 1440)
    with pytest.raises(ConfigError, match="ZOHO_QUOTA_ZONE"):
        load_settings({"ZOHO_QUOTA_ZONE": "Mars/Olympus"})


@pytest.fixture
def sender(database: str, engine: Engine, settings: dict[str, str]) -> Iterator[Sender]:
    with sender_for(database, engine, **settings) as sender:
        yield sender


def test_the_quota_is_shown_to_who_bears_a_token(sender: Sender, settings: dict[str, str], world: World) -> None:
    spend(settings, 3)
    world.enqueue("invoice", *(str(n) for n in range(70)), bulk=True)
    world.enqueue("product", *(str(n) for n in range(250)), bulk=True)
    assert sender.app.test_client().get("/api/tds/zoho/quota").status_code == 401
    shown = sender.get("/api/tds/zoho/quota").json
    assert shown["minute"] == {
        "used": 3, "limit": 90, "left": 87,
        "ceilings": {"live": 90, "operator": 81, "scheduled": 76, "backfill": 63, "comparison": 63},
    }  # fmt: skip
    books = {day["api"]: day for day in shown["days"]}["books"]
    assert (books["used"], books["limit"], books["told_limit"], books["reset_told"]) == (102, 900, 1000, True)
    assert books["by_class"] == {
        "live": 3, "operator": 0, "scheduled": 0, "backfill": 0, "comparison": 0, "others": 99,
    }  # fmt: skip
    resets_in = datetime.fromisoformat(books["resets_at"]) - datetime.now(UTC)
    assert 35_900 < resets_in.total_seconds() <= 36_001
    backlogs = {backlog["api"]: backlog for backlog in shown["backlogs"]}
    assert (backlogs["books"]["call_count"], backlogs["inventory"]["call_count"]) == (70, 3)


def test_without_redis_the_quota_is_not_known_and_says_so(database: str, engine: Engine) -> None:
    with sender_for(database, engine, TDS_REDIS_URL="redis://127.0.0.1:1/0") as sender:
        answer = sender.get("/api/tds/zoho/quota")
        assert (answer.status_code, answer.json["code"]) == (503, "quota_unknown")
        assert "tds_quota_used" not in sender.app.test_client().get("/metrics").text


def test_prometheus_sees_what_is_used_and_left(sender: Sender, settings: dict[str, str]) -> None:
    spend(settings, 3)
    scraped = sender.app.test_client().get("/metrics").text
    assert 'tds_quota_used{api="books",kind="day"} 102.0' in scraped
    assert 'tds_quota_left{api="books",kind="day"} 798.0' in scraped
    assert 'tds_quota_used{api="all",kind="minute"} 3.0' in scraped
    assert 'tds_quota_left{api="all",kind="concurrent"} 9.0' in scraped


def test_the_command_shows_bars_to_people_and_json_to_programs(
    world: World,
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    spend(settings, 3)
    tds = CommandLine(monkeypatch, capsys)
    assert tds("zoho", "quota", "--json").json["minute"]["used"] == 3
    said = tds("zoho", "quota")
    assert said.exit_code == 0, said.errors
    assert "books, today" in said.out
    assert "102 of 900" in said.out
    monkeypatch.setenv("TDS_REDIS_URL", "redis://127.0.0.1:1/0")
    said = tds("zoho", "quota")
    assert (said.exit_code, "TDS_REDIS_URL" in said.errors) == (1, True)


def test_where_nothing_is_limited_the_command_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("MINUTE", "BOOKS_CALLS_PER_DAY", "INVENTORY_CALLS_PER_DAY"):
        monkeypatch.setenv(f"ZOHO_{'CALLS_PER_' if name == 'MINUTE' else ''}{name}", "0")
    monkeypatch.setenv("ZOHO_CONCURRENT_CALLS", "0")
    assert "no limit" in CommandLine(monkeypatch, capsys)("zoho", "quota").out


def test_the_backlog_counts_calls_not_records(world: World) -> None:
    from tds_core.mirror.status import detail_calls

    world.enqueue("product", *(str(n) for n in range(101)), bulk=True)
    world.enqueue("product", "urgent")
    world.enqueue("customer", "1", bulk=True)
    with session_scope(world.engine) as session:
        assert detail_calls(session) == {"books": 1, "inventory": 2}
