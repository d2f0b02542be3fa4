"""History: figures and activity are stored by hour and local day, twice is once, and missed hours are caught up."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tds_core.schedule.slots import latest_slot
from tds_core.statistics.activity import INSTALLATION
from tds_core.statistics.history import figures_of_days, newest_figures, store_activity, store_figures, uncounted_spans
from tds_core.statistics.local_time import InvalidSpanError, day_bounds, hour_begins
from tds_core.statistics.reports import history as report_history
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tds_tasks import celeryconfig, schedule
from tests.support.planted_rows import attempt, event, plant, records
from tests.support.world import World

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BERLIN, BAGHDAD = "Europe/Berlin", "Asia/Baghdad"
NOON = datetime(2026, 11, 20, 12, 10, tzinfo=UTC)


def stored(engine: Engine, grain: str, entity: str = "product") -> dict[datetime, Any]:
    with engine.connect() as connection:
        rows = connection.execute(
            text("select began_at, figures, activity from tds_statistics_history"
                 " where grain = :grain and entity = :entity order by began_at"),
            {"grain": grain, "entity": entity},
        )  # fmt: skip
        return {row.began_at: row for row in rows}


def store(engine: Engine, now: datetime, zone: str = BAGHDAD) -> None:
    with session_scope(engine) as session:
        store_figures(session, "product", now=now, zone=zone)


def test_measured_twice_in_an_hour_the_last_figures_stay(engine: Engine) -> None:
    store(engine, NOON)
    records(engine, "product", {}, {})
    store(engine, NOON + timedelta(minutes=40))
    hours, days = stored(engine, "hour"), stored(engine, "day")
    assert list(hours) == [datetime(2026, 11, 20, 12, tzinfo=UTC)]
    assert list(days) == [datetime(2026, 11, 19, 21, tzinfo=UTC)]  # midnight in Baghdad
    assert [row.figures["live_count"] for row in (*hours.values(), *days.values())] == [2, 2]


def test_a_day_keeps_its_last_figures_and_midnight_is_local(engine: Engine) -> None:
    evening = datetime(2026, 11, 20, 20, 59, tzinfo=UTC)  # 23:59 in Baghdad
    store(engine, evening)
    records(engine, "product", {})
    store(engine, evening + timedelta(minutes=2))
    with session_scope(engine) as session:
        days = figures_of_days(session, ["product"], first=date(2026, 11, 20), last=date(2026, 11, 21), zone=BAGHDAD)
    assert {day: each["live_count"] for day, each in days["product"].items()} == {
        date(2026, 11, 20): 0, date(2026, 11, 21): 1,
    }  # fmt: skip


def test_a_day_of_25_hours_adds_up_all_of_them(engine: Engine) -> None:
    begin, end = day_bounds(date(2026, 10, 25), BERLIN)
    plant(engine, "tds_inbox_events", *(event(begin + number * HOUR) for number in range(-1, 26)))
    with session_scope(engine) as session:
        assert store_activity(session, since=begin, until=end, zone=BERLIN) == 25
    assert [row.activity["webhook_count"] for row in stored(engine, "hour").values()] == [1] * 25
    [day] = stored(engine, "day").values()
    assert (day.began_at, day.activity["webhook_count"], sum(day.activity["latency"])) == (begin, 25, 25)


def test_counted_twice_is_counted_once(engine: Engine) -> None:
    begin = hour_begins(NOON, BAGHDAD)
    plant(engine, "tds_sync_logs", attempt(NOON, "updated"), attempt(NOON, "dead"))
    for _ in range(2):
        with session_scope(engine) as session:
            store_activity(session, since=begin, until=begin + HOUR, zone=BAGHDAD)
    for grain in ("hour", "day"):
        [row] = stored(engine, grain).values()
        assert (row.activity["succeeded_count"], row.activity["dead_count"]) == (1, 1)
    assert set(stored(engine, "hour", INSTALLATION)) == {begin}


def spans(engine: Engine, now: datetime) -> list[tuple[datetime, datetime]]:
    with session_scope(engine) as session:
        return uncounted_spans(session, now=now, zone="UTC")


def test_before_the_first_trace_of_an_installation_nothing_is_counted(engine: Engine) -> None:
    assert spans(engine, NOON) == []
    plant(engine, "tds_inbox_events", event(NOON - 3 * HOUR))
    assert spans(engine, NOON) == [(datetime(2026, 11, 20, 9, tzinfo=UTC), datetime(2026, 11, 20, 12, tzinfo=UTC))]


def test_missed_hours_are_caught_up_a_day_at_a_time_and_the_last_ones_counted_again(engine: Engine) -> None:
    plant(engine, "tds_inbox_events", event(NOON - 40 * DAY))
    found = spans(engine, NOON)
    assert (found[0][0], found[-1][1]) == (
        datetime(2026, 11, 13, 12, tzinfo=UTC),
        datetime(2026, 11, 20, 12, tzinfo=UTC),
    )
    assert all(until - since <= DAY for since, until in found)
    assert [since for since, _ in found[1:]] == [until for _, until in found[:-1]]
    with session_scope(engine) as session:
        store_activity(session, since=found[0][0], until=found[-1][1], zone="UTC")
    [(since, until)] = spans(engine, NOON + HOUR)
    assert (since, until) == (datetime(2026, 11, 20, 9, tzinfo=UTC), datetime(2026, 11, 20, 13, tzinfo=UTC))


def test_the_newest_stored_figures_are_read_with_their_moments(engine: Engine) -> None:
    records(engine, "product", {"source_modified_at": "2026-10-01T00:00:00Z"})
    store(engine, NOON - HOUR)
    records(engine, "product", {"source_id": "2"})
    store(engine, NOON)
    with session_scope(engine) as session:
        found = newest_figures(session, ["product", "customer"])
    assert set(found) == {"product"}
    assert found["product"]["figures"]["live_count"] == 2
    assert found["product"]["figures"]["newest_modified_at"] == datetime(2026, 10, 1, tzinfo=UTC)


def test_days_without_figures_are_there_and_empty(engine: Engine) -> None:
    with session_scope(engine) as session:
        now = session.execute(text("select now()")).scalar_one()
        store_figures(session, "product", now=now - 2 * DAY, zone="UTC")
        store_figures(session, "product", now=now - 7 * DAY, zone="UTC")
    records(engine, "product", {}, {}, {})
    store(engine, now, "UTC")
    with session_scope(engine) as session:
        report = report_history(session, days=4, entities=["product"], zone="UTC")
        for days in (0, 367):
            with pytest.raises(InvalidSpanError):
                report_history(session, days=days, zone="UTC")
    [product] = report["entities"]
    assert [each["day"] for each in product["days"]] == [now.date() - back * DAY for back in (3, 2, 1, 0)]
    counts = [each["figures"] and each["figures"]["live_count"] for each in product["days"]]
    assert counts == [None, 0, None, 3]
    found = {each["days"]: each for each in product["trends"] if each["figure"] == "live_count"}
    assert (found[7]["direction"], found[7]["change"]) == ("up", 3)
    assert (found[30]["direction"], found[30]["reason"]) == (
        "unknown", f"nothing was stored on {now.date() - 30 * DAY}",
    )  # fmt: skip


def test_the_slot_measures_every_entity_counts_every_hour_and_does_it_twice_as_once(world: World) -> None:
    now = world.value("select now()")
    plant(world.engine, "tds_inbox_events", event(now - 5 * HOUR))
    records(world.engine, "product", {"status": "active"})
    seen = []
    for _ in range(2):
        assert schedule.JOBS["statistics"]({}).startswith(f"{len(ENTITIES)} of {len(ENTITIES)} entities measured, ")
        # a test may run over a full hour: what is of that one is left out
        seen.append(world.rows(
            "select entity, grain, began_at, figures, activity from tds_statistics_history"
            " where grain = 'hour' and began_at <= date_trunc('hour', cast(:now as timestamptz)) order by 1, 2, 3",
            now=now,
        ))  # fmt: skip
    assert seen[0] == seen[1]
    counted = [row for row in seen[0] if row["activity"]]
    assert {row["entity"] for row in counted} == {*ENTITIES, INSTALLATION}
    assert len({row["began_at"] for row in counted}) == 5
    assert sum(row["activity"]["webhook_count"] for row in counted) == 1
    measured = {row["entity"]: row["figures"] for row in seen[0] if row["figures"]}
    assert set(measured) == set(ENTITIES)
    assert measured["product"]["active_count"] == 1


def test_the_timetable_has_the_slot_every_hour() -> None:
    cron, task, _, missed = celeryconfig.TIMETABLE["statistics"]
    assert (latest_slot(cron, NOON), task in schedule.JOBS, missed) == (NOON - timedelta(minutes=5), True, "once")


def test_hours_are_kept_for_35_days_days_for_two_years_and_samples_for_35_days(world: World) -> None:
    now = world.value("select now()")
    ages = [("hour", 34), ("hour", 36), ("day", 36), ("day", 729), ("day", 732)]
    plant(world.engine, "tds_statistics_history", *(
        {"entity": "product", "grain": grain, "began_at": now - days * DAY} for grain, days in ages
    ))  # fmt: skip
    plant(world.engine, "tds_uptime_samples", *({"sampled_at": now - days * DAY, "is_up": True} for days in (34, 36)))
    schedule.JOBS["retention"]({})
    kept = world.rows("select grain, extract(day from now() - began_at)::int as days from tds_statistics_history")
    assert sorted((row["grain"], row["days"]) for row in kept) == [("day", 36), ("day", 729), ("hour", 34)]
    assert world.value("select count(*) from tds_uptime_samples") == 1
