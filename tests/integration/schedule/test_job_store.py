"""The timetable promises: a slot runs once however many tick, and one job's trouble is no other's."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tds_core.config.overrides import overrides
from tds_core.configuration.refresh import refresh
from tds_core.configuration.versions import change
from tds_core.schedule import job_store
from tds_models.db import session_scope
from tds_tasks import schedule
from tests.support.world import World


@pytest.fixture
def ran(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the one job kind `note` was run with; the timetable holds nothing else."""
    noted: list[Any] = []
    schedule.app.finalize()  # as a worker does at its start: Celery binds tasks late, and not for two threads at once

    def note(arguments: Any) -> str:
        noted.append(arguments)
        return "noted"

    monkeypatch.setattr(schedule.celeryconfig, "TIMETABLE", {})
    monkeypatch.setitem(schedule.JOBS, "note", note)
    yield noted
    overrides.replace({})


def put_job(world: World, name: str, cron: str = "every:86400", *, task: str = "note", missed: str = "once") -> None:
    """A job that was last seen ten days ago, so its newest slot is due (and late by hours, at most times of day)."""
    with session_scope(world.engine) as session:
        job_store.seed(session, {name: (cron, task, {"name": name}, missed)})
    world.execute("update tds_scheduled_jobs set updated_at = now() - interval '10 days' where name = :name", name=name)


def results(world: World) -> list[tuple[Any, ...]]:
    found = world.rows("select job, result, detail from tds_schedule_slots order by job, slot_at")
    return [tuple(row.values()) for row in found]


def test_a_due_slot_runs_once_and_says_how_it_ended(world: World, ran: list[Any]) -> None:
    put_job(world, "daily")
    for _ in range(3):
        schedule.tick()
    assert ran == [{"name": "daily"}]
    assert results(world) == [("daily", "completed", "noted")]


def test_two_beats_at_once_run_a_slot_once(world: World, ran: list[Any]) -> None:
    for number in range(5):
        put_job(world, f"job-{number}")
    barrier = Barrier(3)

    def tick(_: int) -> None:
        barrier.wait()
        schedule.tick()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(tick, range(3)))
    assert sorted(each["name"] for each in ran) == [f"job-{number}" for number in range(5)]


def test_many_missed_slots_are_caught_up_once(world: World, ran: list[Any]) -> None:
    put_job(world, "often", "0 */2 * * *")
    schedule.tick()
    assert len(ran) == len(results(world)) == 1


def test_a_late_slot_of_a_job_that_skips_is_written_down_and_left_out(world: World, ran: list[Any]) -> None:
    put_job(world, "skips", missed="skip")
    world.execute("update tds_scheduled_jobs set cron = :cron", cron=late_rhythm(world))
    schedule.tick()
    assert ran == []
    assert results(world) == [("skips", "skipped", None)]


def late_rhythm(world: World) -> str:
    """A daily rhythm whose slot went by an hour ago."""
    hour = world.value("select extract(hour from now() at time zone 'UTC' - interval '1 hour')::int")
    minute = world.value("select extract(minute from now() at time zone 'UTC')::int")
    return f"{minute} {hour} * * *"


def test_a_paused_job_does_not_run(world: World, ran: list[Any]) -> None:
    put_job(world, "paused")
    world.execute("update tds_scheduled_jobs set paused_at = now()")
    schedule.tick()
    assert ran == results(world) == []


def test_what_an_operator_set_outlives_a_restart(world: World, ran: list[Any]) -> None:
    put_job(world, "daily")
    world.execute("update tds_scheduled_jobs set cron = '5 5 * * *', paused_at = now()")
    with session_scope(world.engine) as session:
        job_store.seed(session, {"daily": ("every:60", "note", {}, "skip")})
    job = world.one("select * from tds_scheduled_jobs")
    assert (job["cron"], job["missed"], job["paused_at"] is not None) == ("5 5 * * *", "once", True)


def test_the_timetable_follows_the_zone_of_the_installation_but_not_what_an_operator_set(
    world: World, ran: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    timetable = {name: ("0 2 * * * local", "note", {}, "once") for name in ("nightly", "own")}
    monkeypatch.setattr(schedule.celeryconfig, "TIMETABLE", timetable)
    monkeypatch.setattr(schedule, "_followed", {})
    schedule.tick()
    world.execute("update tds_scheduled_jobs set cron = '0 2 * * * Europe/Paris' where name = 'own'")
    for zone, wanted in (("Asia/Baghdad", "0 2 * * * Asia/Baghdad"), ("UTC", "0 2 * * *")):
        with session_scope(world.engine) as session:
            change(session, "TDS_TIME_ZONE", zone, by="amal")
        refresh(lambda: session_scope(world.engine))
        if zone == "UTC":  # another Beat goes on
            monkeypatch.setattr(schedule, "_followed", {})
        schedule.tick()
        assert world.value("select cron from tds_scheduled_jobs where name = 'nightly'") == wanted
    assert world.value("select cron from tds_scheduled_jobs where name = 'own'") == "0 2 * * * Europe/Paris"
    assert ran == [], "no slot of the night was run anew"


def test_a_failing_job_is_written_down_and_stops_no_other(
    world: World, ran: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(schedule.JOBS, "break", lambda arguments: 1 / 0)
    put_job(world, "a-breaks", task="break")
    put_job(world, "b-unknown", task="nobody")
    put_job(world, "c-works")
    schedule.tick()
    assert [row[:2] for row in results(world)] == [
        ("a-breaks", "failed"),
        ("b-unknown", "failed"),
        ("c-works", "completed"),
    ]
    assert ran == [{"name": "c-works"}]


def test_a_rhythm_nobody_can_read_stops_only_its_own_job(world: World, ran: list[Any]) -> None:
    put_job(world, "a-wrong", "when the moon is full")
    put_job(world, "b-right")
    schedule.tick()
    assert ran == [{"name": "b-right"}]


def take(world: World) -> list[job_store.ClaimedSlot]:
    with session_scope(world.engine) as session:
        return job_store.claim_due(session)


def die(world: World) -> None:
    """The process that took the open slots stopped without a word, long ago."""
    world.execute("update tds_schedule_slots set claimed_at = now() - interval '10 minutes' where ended_at is null")


def test_a_slot_whose_process_died_is_run_again(world: World, ran: list[Any]) -> None:
    put_job(world, "daily")
    [lost] = take(world)
    schedule.tick()
    assert ran == [], "its process may live"
    die(world)
    schedule.tick()
    assert ran == [{"name": "daily"}]
    assert results(world) == [("daily", "completed", "noted")]
    schedule.run_slot(lost)
    assert results(world) == [("daily", "completed", "noted")], "who lost it writes nothing"


def test_two_that_find_a_lost_slot_run_it_once(world: World, ran: list[Any]) -> None:
    put_job(world, "daily")
    take(world)
    die(world)
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda _: take(world), range(3)))
    assert sum(map(len, found)) == 1


def test_a_slot_that_takes_every_process_down_is_given_up_and_said(world: World, ran: list[Any]) -> None:
    put_job(world, "daily")
    for _ in range(3):
        assert len(take(world)) == 1
        die(world)
    assert take(world) == []
    assert results(world) == [("daily", "lost", "its process stopped without a word, 3 times")]


def test_a_lost_slot_is_left_to_the_newer_one_of_its_job(world: World, ran: list[Any]) -> None:
    put_job(world, "often", "every:60")
    take(world)
    die(world)
    world.execute("update tds_schedule_slots set slot_at = slot_at - interval '1 hour'")
    world.execute(
        "insert into tds_schedule_slots (job, slot_at, ended_at, result) values ('often', now(), now(), 'completed')"
    )
    assert take(world) == []
    assert [row[1] for row in results(world)] == ["lost", "completed"]


def test_the_timetable_tds_starts_with_asks_only_for_jobs_there_are(world: World) -> None:
    from tds_tasks import celeryconfig

    assert {task for _, task, _, _ in celeryconfig.TIMETABLE.values()} <= set(schedule.JOBS)
    world.execute("delete from tds_scheduled_jobs")
    schedule.tick()
    assert world.value("select count(*) from tds_scheduled_jobs") == len(celeryconfig.TIMETABLE)
    world.execute("update tds_scheduled_jobs set updated_at = now() - interval '7 days 1 hour'")
    schedule.tick()
    assert {row["result"] for row in world.rows("select result from tds_schedule_slots")} <= {"completed", "skipped"}
    assert world.value("select count(*) from tds_sync_runs where mode = 'full'") == len(schedule.ENTITIES)
    assert world.value("select count(*) from tds_comparison_reports") == len(schedule.ENTITIES)
