"""The upkeep of partitions promises: those to come are there, what is old goes whole, and others hardly wait."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from tds_core import partitions
from tds_models.db import session_scope
from tds_models.partitions import PARTITIONED
from tds_tasks import partition_upkeep, schedule
from tds_tasks.partition_upkeep import keep_up
from tests.support.database_role import superuser
from tests.support.planted_rows import plant
from tests.support.world import World

LOGS = PARTITIONED["tds_sync_logs"]
DAYS = {"events": 7, "attempts": 90, "metrics": 30}


def plant_line(world: World, at: datetime) -> None:
    plant(
        world.engine, "tds_sync_logs",
        {"source": "zoho", "entity": "product", "source_id": "1", "generation": 1, "attempt": 1, "outcome": "updated",
         "correlation_id": "c", "ended_at": at},
    )  # fmt: skip


def old_partition(world: World, days: int) -> str:
    """The name of a partition of so many days ago, with two rows."""
    span = LOGS.span_of(world.value("select now()") - timedelta(days=days))
    with session_scope(world.engine) as session:
        assert partitions.add_partition(session, LOGS, span)
    plant_line(world, span[0])
    plant_line(world, span[1] - timedelta(seconds=1))
    return LOGS.partition(span[0])


def is_there(world: World, name: str) -> bool:
    return bool(world.value("select to_regclass(:name) is not null", name=name))


def forget_those_ahead(world: World) -> None:
    """As after a standstill: the newest partitions are of the past."""
    with superuser(world.engine) as session:
        for table in PARTITIONED.values():
            for each in partitions.list_partitions(session, table):
                if each.begins_at:
                    session.execute(text(f"drop table {each.name}"))


def test_after_a_standstill_those_to_come_are_added_again(world: World) -> None:
    forget_those_ahead(world)
    plant_line(world, world.value("select now()"))
    results = keep_up(DAYS)
    # The row of today stands in the default one, so the present span is left to it.
    assert results["tds_sync_logs"].added_count == LOGS.ahead
    assert results["tds_metrics"].added_count == PARTITIONED["tds_metrics"].ahead + 1
    with session_scope(world.engine) as session:
        assert partitions.tables_without_next(session) == []
    assert {name: result.added_count for name, result in keep_up(DAYS).items()} == dict.fromkeys(PARTITIONED, 0)


def test_what_is_kept_for_years_gets_longer_partitions(world: World) -> None:
    forget_those_ahead(world)
    assert keep_up({**DAYS, "events": 3650})["tds_inbox_events"].added_count == 2
    with session_scope(world.engine) as session:
        today, following = [
            each for each in partitions.list_partitions(session, PARTITIONED["tds_inbox_events"]) if each.begins_at
        ]
        assert partitions.tables_without_next(session) == []
    assert following.begins_at is not None
    assert following.begins_at == today.ends_at
    assert following.ends_at == following.begins_at + timedelta(days=37)


def test_a_row_of_a_time_to_come_keeps_no_partition_before_it_away(world: World) -> None:
    forget_those_ahead(world)
    plant_line(world, world.value("select now()") + timedelta(days=60))
    assert keep_up({**DAYS, "attempts": 36_500})["tds_sync_logs"].added_count == 2
    with session_scope(world.engine) as session:
        assert partitions.tables_without_next(session) == []


def test_old_partitions_are_dropped_whole_and_young_ones_stay(world: World) -> None:
    old, young = old_partition(world, 120), old_partition(world, 60)
    result = keep_up(DAYS)["tds_sync_logs"]
    assert (result.dropped_count, result.deleted_count) == (1, 0)
    assert (is_there(world, old), is_there(world, young)) == (False, True)
    assert world.value("select count(*) from tds_sync_logs") == 2
    assert keep_up({**DAYS, "attempts": 40})["tds_sync_logs"].dropped_count == 1, "as the setting says"


def test_old_rows_beside_new_ones_are_deleted(world: World) -> None:
    now = world.value("select now()")
    plant_line(world, now - timedelta(days=91))
    plant_line(world, now - timedelta(days=40))
    assert keep_up(DAYS)["tds_sync_logs"].deleted_count == 1
    assert world.value("select tableoid::regclass::text from tds_sync_logs") == LOGS.default


def test_the_job_of_the_timetable_does_it(world: World) -> None:
    old = old_partition(world, 120)
    assert "'tds_sync_logs': '0 partitions added, 1 dropped, 0 rows deleted'" in schedule.JOBS["retention"]({})
    assert not is_there(world, old)


def test_what_others_read_is_left_to_the_next_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_upkeep, "TRIES", 2)
    monkeypatch.setattr(partition_upkeep, "PAUSE_SECONDS", 0.01)
    old = old_partition(world, 120)
    with world.engine.connect() as reader:
        reader.execute(text("select count(*) from tds_sync_logs"))
        assert keep_up(DAYS)["tds_sync_logs"].dropped_count == 0
    assert is_there(world, old)
    assert keep_up(DAYS)["tds_sync_logs"].dropped_count == 1


def test_the_planner_knows_the_whole_table_afterwards(world: World) -> None:
    old_partition(world, 120)
    plant_line(world, world.value("select now()"))
    keep_up(DAYS)
    known = "select count(*) from pg_stats where tablename = 'tds_sync_logs' and inherited"
    assert world.value(known) > 0


def test_an_old_event_that_is_reopened_meanwhile_stays(world: World) -> None:
    plant(
        world.engine, "tds_inbox_events",
        {"source": "zoho", "entity": "product", "source_id": "1", "correlation_id": "c", "verdict": "dead_lettered",
         "verdict_at": world.value("select now()"), "received_at": world.value("select now() - interval '30 days'")},
    )  # fmt: skip
    with ThreadPoolExecutor(1) as pool, world.engine.connect() as operator:
        operator.execute(text("update tds_inbox_events set verdict = null, verdict_at = null"))
        upkeep = pool.submit(keep_up, DAYS)
        while not (world.value("select count(*) from pg_locks where not granted") or upkeep.done()):
            time.sleep(0.01)
        operator.commit()
        assert upkeep.result()["tds_inbox_events"].deleted_count == 0
    assert world.value("select count(*) from tds_inbox_events where verdict is null") == 1
