"""Reports over HTTP and by command: figures, both sides, business figures, history and the scorecard, each per role."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from tds_api.cli import stats
from tds_api.resources.statistics import PATHS
from tds_core.auth import api_keys
from tds_core.statistics import latest_entity_figures, reports
from tds_core.statistics.history import store_figures
from tds_models.auth import Role
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tds_tasks import schedule
from tests.support.command_line import CommandLine
from tests.support.planted_rows import attempt, event, plant, records, run
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World

ZONE = "Asia/Baghdad"
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
ROUTES = ["/statistics/overview", *(f"/statistics/{path}" for path in PATHS), "/statistics/health",
          "/statistics/history", "/statistics/acceptance", "/stats/combined"]  # fmt: skip


@pytest.fixture
def sender(world: World, database: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    monkeypatch.setenv("TDS_TIME_ZONE", ZONE)
    with sender_for(database, engine, TDS_TIME_ZONE=ZONE) as sender:
        yield sender


@pytest.fixture
def tds(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    monkeypatch.setenv("TDS_TIME_ZONE", ZONE)
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def now(world: World) -> datetime:
    moment: datetime = world.value("select now()")
    return moment


def get(sender: Sender, path: str, **query: Any) -> Any:
    answer = sender.get(f"/api/tds{path}", **query)
    assert answer.status_code == 200, answer.text
    return answer.json


@pytest.mark.parametrize("path", ROUTES)
def test_each_report_is_for_every_role_and_nobody_else(sender: Sender, path: str) -> None:
    assert sender.app.test_client().get(f"/api/tds{path}").status_code == 401
    with session_scope(sender.engine) as session:
        keys = [api_keys.create_key(session, name=role.value, role=role, by="test")[1] for role in Role]
    for key in keys:
        answer = sender.app.test_client().get(f"/api/tds{path}", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200
    assert sender.app.test_client().post(f"/api/tds{path}").status_code in (401, 405)


def test_an_empty_installation_is_reported_with_zeros_and_reasons(sender: Sender) -> None:
    overview = get(sender, "/statistics/overview")
    assert [each["entity"] for each in overview["entities"]] == list(ENTITIES)
    assert {each["figures"]["live_count"] for each in overview["entities"]} == {0}
    assert {each["source"]["there_count"] for each in overview["entities"]} == {None}
    assert [each["success_rate"] for each in overview["success_rates"]] == [None] * 4
    for each in get(sender, "/stats/combined"):
        assert (each["source"], each["difference_count"]) == (None, None)
        assert each["source_reason"] == f"no full sync was made yet: tds sync {each['entity']} --mode full"


def test_both_sides_are_beside_each_other_with_their_difference(sender: Sender, now: datetime) -> None:
    records(sender.engine, "product", {"status": "active"}, {"status": "inactive"}, {"deleted_at": now})
    plant(sender.engine, "tds_sync_runs", run(now - HOUR, fetched_count=5))
    found = {each["entity"]: each for each in get(sender, "/stats/combined")}["product"]
    assert (found["mirror"]["live_count"], found["source"]["there_count"], found["difference_count"]) == (2, 5, -3)
    assert datetime.fromisoformat(found["source"]["seen_at"]) == now - HOUR
    assert datetime.fromisoformat(found["measured_at"]) >= now


def test_a_report_has_its_figures_exactly_and_their_trends(sender: Sender, now: datetime) -> None:
    records(sender.engine, "customer", {"currency_code": "IQD", "outstanding": "1000", "status": "active"})
    with session_scope(sender.engine) as session:
        store_figures(session, "customer", now=now - 7 * DAY, zone=ZONE)
    records(sender.engine, "customer", {"source_id": "2", "currency_code": "IQD", "outstanding": "12345678901234.5600"},
            {"source_id": "3", "currency_code": "USD", "outstanding": "5"})  # fmt: skip
    found = get(sender, "/statistics/customers")
    assert found["figures"]["outstanding"][0] == {
        "currency": "IQD", "contact_count": 2, "outstanding": "12345678902234.5600", "unused_credits": "0",
    }  # fmt: skip
    trends = {(each["figure"], each["currency"], each["days"]): each for each in found["trends"]}
    live = trends["live_count", None, 7]
    assert (live["direction"], live["change"], live["change_percent"]) == ("up", "2", "200.00")
    assert trends["outstanding", "USD", 7]["change"] == "5"
    assert trends["live_count", None, 30]["direction"] == "unknown"


def test_large_tables_are_shown_as_they_were_measured_last(
    sender: Sender, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    records(sender.engine, "product", {}, {})
    monkeypatch.setattr(latest_entity_figures, "MEASURED_AT_ONCE_BYTES", 0)
    found = get(sender, "/statistics/items")
    assert (found["figures"], found["measured_at"]) == (None, None)
    assert found["reason"] == "Products are too many to be counted on request: tds schedule run statistics"
    with session_scope(sender.engine) as session:
        store_figures(session, "product", now=now - HOUR, zone=ZONE)
        store_figures(session, "product", now=now, zone=ZONE)
    records(sender.engine, "product", {"source_id": "3"})
    assert get(sender, "/statistics/items")["figures"]["live_count"] == 2
    combined = {each["entity"]: each for each in get(sender, "/stats/combined")}
    assert (combined["product"]["mirror"]["live_count"], combined["bill"]["mirror"]["live_count"]) == (2, 0)


def midnight(now: datetime) -> datetime:
    return now.astimezone(ZoneInfo(ZONE)).replace(hour=0, minute=0, second=0, microsecond=0)


def test_today_begins_at_midnight_there(sender: Sender, now: datetime) -> None:
    begin = midnight(now)
    plant(sender.engine, "tds_inbox_events", event(begin - MINUTE), event(begin), event(begin, verdict="quarantined"))
    plant(
        sender.engine, "tds_sync_logs", attempt(begin - MINUTE, "updated"), attempt(begin, "updated"),
        attempt(begin, "retry"), attempt(begin, "dead"), attempt(begin, "snooze"),
    )  # fmt: skip
    plant(sender.engine, "tds_sync_runs", run(begin, fetched_count=12), run(begin, state="failed", fetched_count=1))
    schedule.JOBS["statistics"]({})
    with session_scope(sender.engine) as session:
        found = reports.work_health(session, zone=ZONE)["today"]
    product = {each["entity"]: each for each in found["entities"]}["product"]
    assert (found["day"], found["since"]) == (begin.date(), begin)
    assert (product["webhook_count"], product["synced_count"], product["failed_count"]) == (2, 1, 2)
    assert (product["retried_count"], product["listed_count"], product["fresh_at"]) == (1, 12, begin)
    assert (found["webhook_count"], found["synced_count"], found["failed_run_count"]) == (2, 1, 1)


def test_monitors_are_told_success_rates(sender: Sender, now: datetime) -> None:
    plant(sender.engine, "tds_sync_logs", *(attempt(now - MINUTE, "updated") for _ in range(3)))
    plant(sender.engine, "tds_sync_logs", attempt(now - MINUTE, "dead"), attempt(now - MINUTE, "retry"))
    found = get(sender, "/monitoring/health")
    rates = {each["window"]: each for each in found["success_rates"]}
    assert list(rates) == ["1h", "24h", "7d", "30d"]
    assert {each["success_rate"] for each in rates.values()} == {0.75}
    assert (rates["1h"]["succeeded_count"], rates["1h"]["failed_count"], rates["1h"]["retried_count"]) == (3, 1, 1)
    assert {"status", "score", "components", "figures"} <= set(found)


def test_prometheus_is_told_counts_freshness_and_success(sender: Sender, now: datetime) -> None:
    records(sender.engine, "product", {}, {"confirmed_at": None}, {"deleted_at": now})
    with session_scope(sender.engine) as session:
        store_figures(session, "product", now=now, zone=ZONE)
    plant(sender.engine, "tds_sync_runs", run(now - HOUR))
    plant(sender.engine, "tds_sync_logs", *(attempt(now - MINUTE, each) for each in ("updated", "dead")))
    lines = sender.app.test_client().get("/metrics").text.splitlines()
    values = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}
    counts = [values[f'tds_mirror_records{{entity="product",state="{state}"}}']
              for state in ("live", "deleted", "unconfirmed")]  # fmt: skip
    assert (counts, values['tds_success_ratio{window="24h"}']) == ([2, 1, 1], 0.5)
    assert 3600 <= values['tds_mirror_age_seconds{entity="product"}'] < 3700


def test_history_is_given_for_one_entity_or_all_and_only_for_spans_there_are(sender: Sender) -> None:
    found = get(sender, "/statistics/history", days=3, entity="bill")
    assert ([each["entity"] for each in found["entities"]], len(found["entities"][0]["days"])) == (["bill"], 3)
    assert len(get(sender, "/statistics/history")["entities"]) == len(ENTITIES)
    for wrong in ({"days": 0}, {"days": 367}, {"days": "x"}, {"entity": "weather"}):
        assert sender.get("/api/tds/statistics/history", **wrong).status_code == 422


def test_stats_of_one_entity_show_its_figures_trends_and_the_source(tds: CommandLine, world: World) -> None:
    now = world.value("select now()")
    records(world.engine, "invoice", {"currency_code": "IQD", "balance": "7.50", "status": "sent"})
    with session_scope(world.engine) as session:
        store_figures(session, "invoice", now=now - 7 * DAY, zone=ZONE)
    records(world.engine, "invoice", {"source_id": "2", "currency_code": "USD", "balance": "1", "status": "sent"})
    said = tds("stats", "invoice")
    assert said.exit_code == 0
    for part in ("Invoices, measured", "live_count", "▲ +1 (+100.00 %)", "Outstanding", "IQD", "7.50", "USD"):
        assert part in said.out
    assert "Zoho's count is not known: no full sync was made yet: tds sync invoice --mode full" in said.out
    document = tds("stats", "invoice", "--json").json
    assert (document["figures"]["live_count"], document["source"]["there_count"]) == (2, None)
    wrong = tds("stats", "weather")
    assert (wrong.exit_code, "Entities: location" in wrong.errors) == (1, True)


def test_stats_keep_their_fields_and_tell_of_today_and_success(tds: CommandLine, world: World) -> None:
    now = world.value("select now()")
    plant(world.engine, "tds_sync_logs", attempt(now - timedelta(seconds=1), "updated"))
    document = tds("stats", "--json").json
    assert {"entities", "queue", "dead_letters", "events", "runs", "details", "live_reads"} <= set(document)
    assert document["success_rates"][0]["success_rate"] == 1.0
    assert document["today"]["time_zone"] == ZONE
    said = tds("stats").out
    assert "Success rate" in said
    assert "100.00 %" in said


def test_stats_count_no_large_table_that_the_slot_has_counted(
    tds: CommandLine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    records(world.engine, "product", {}, {"confirmed_at": None})
    records(world.engine, "customer", {})
    with session_scope(world.engine) as session:
        store_figures(session, "product", now=world.value("select now()"), zone=ZONE)
    records(world.engine, "product", {"source_id": "3"})
    records(world.engine, "customer", {"source_id": "3"})
    monkeypatch.setattr(latest_entity_figures, "MEASURED_AT_ONCE_BYTES", 0)
    found = {each["entity"]: each for each in tds("stats", "--json").json["entities"]}
    assert (found["product"]["live_count"], found["product"]["unconfirmed_count"]) == (2, 1)
    assert not found["product"]["is_estimated"]


def test_a_large_table_that_was_never_counted_is_estimated_and_says_so(
    tds: CommandLine, sender: Sender, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [{"source_id": str(number)} for number in range(1, 501)]
    records(world.engine, "customer", *many, {"source_id": "501", "deleted_at": world.value("select now()")})
    records(world.engine, "stock_level", *({**each, "stock_on_hand": 2} for each in many))
    for table in ("customer", "stock_level"):
        world.execute(f"analyze erp.{table}")
    counted = {each["entity"]: each for each in tds("stats", "--json").json["entities"]}["customer"]
    assert (counted["is_estimated"], counted["live_count"], counted["deleted_count"]) == (False, 500, 1)
    monkeypatch.setattr(latest_entity_figures, "MEASURED_AT_ONCE_BYTES", 0)
    rows = get(sender, "/entities")
    for row in (rows, tds("stats", "--json").json["entities"], get(sender, "/dashboard")["entities"]):
        about = {each["entity"]: each for each in row}["customer"]
        assert about["is_estimated"]
        assert 450 <= about["live_count"] <= 550
        assert (about["deleted_count"], about["unconfirmed_count"], about["newest_modified_at"]) == (None, None, None)
    assert "tds schedule run statistics" in tds("stats").out
    stock = get(sender, "/sync/stock/stats")
    assert (stock["is_estimated"], stock["stock_on_hand"], stock["locations"]) == (True, None, [])
    assert 450 <= stock["product_count"] <= 550


def test_neither_does_the_api(sender: Sender, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    records(world.engine, "product", {}, {"confirmed_at": None})
    records(world.engine, "stock_level", {"stock_on_hand": -1}, {"stock_on_hand": 5})
    with session_scope(world.engine) as session:
        for entity in ("product", "stock_level"):
            store_figures(session, entity, now=world.value("select now()"), zone=ZONE)
    stored_by = world.value("select clock_timestamp()")
    records(world.engine, "product", {"source_id": "3"})
    records(world.engine, "stock_level", {"source_id": "3", "stock_on_hand": 7})
    paths = {"/entities": lambda found: found, "/dashboard": lambda found: found["entities"]}
    for bytes_at_once, count in ((latest_entity_figures.MEASURED_AT_ONCE_BYTES, 3), (0, 2)):
        monkeypatch.setattr(latest_entity_figures, "MEASURED_AT_ONCE_BYTES", bytes_at_once)
        for path, entities in paths.items():
            found = {each["entity"]: each for each in entities(get(sender, path))}["product"]
            assert (found["live_count"], found["unconfirmed_count"]) == (count, 1), path
            assert (datetime.fromisoformat(found["counted_at"]) < stored_by) == (count == 2), path
        stock = get(sender, "/sync/stock/stats")
        assert (stock["product_count"], stock["negative_count"]) == (count, 1)
        assert float(stock["stock_on_hand"]) == (11 if count == 3 else 4)


def test_stats_are_watched_until_they_are_interrupted(
    tds: CommandLine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        records(world.engine, "product", {"source_id": str(len(slept))})
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(stats.time, "sleep", sleep)
    said = tds("stats", "product", "--watch", "--json")
    decoder, seen, rest = json.JSONDecoder(), [], said.out.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        seen.append(document["figures"]["live_count"])
        rest = rest[end:].strip()
    assert (said.exit_code, seen, slept) == (0, [0, 1, 2], [stats.WATCH_SECONDS] * 3)


def test_acceptance_says_pass_fail_or_what_is_still_to_be_seen(tds: CommandLine, world: World, sender: Sender) -> None:
    said = tds("acceptance")
    assert said.exit_code == 3
    for part in ("success rate", "not proven", "0 of 7 days seen", "Nothing speaks against this installation"):
        assert part in said.out
    now = world.value("select now()")
    plant(world.engine, "tds_sync_logs", *(attempt(now - timedelta(seconds=1), each) for each in ("updated", "dead")))
    said = tds("acceptance", "--json")
    assert (said.exit_code, said.json["verdict"]) == (1, "fail")
    [line] = [line for line in said.json["lines"] if line["verdict"] == "fail"]
    assert (line["name"], line["says"]) == ("success rate", "50.000 %: 1 succeeded, 1 failed")
    assert tds("acceptance").exit_code == 1
    answer = get(sender, "/statistics/acceptance")
    assert [each["verdict"] for each in answer["lines"]] == [each["verdict"] for each in said.json["lines"]]
