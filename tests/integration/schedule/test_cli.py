"""`tds schedule`: the timetable is changed while TDS runs, and what a change means is what happens."""

from datetime import UTC, datetime, timedelta

import pytest

from tds_core.schedule import job_store
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.support.command_line import CommandLine
from tests.support.world import World

TIMETABLE = {
    "often": ("every:60", "rescue", {}, "once"),
    "nightly": ("0 2 * * *", "runs", {"mode": "full"}, "once"),
    "broken": ("0 3 * * *", "nobody-knows", {}, "once"),
}


@pytest.fixture
def tds(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    with session_scope(world.engine) as session:
        job_store.seed(session, TIMETABLE)
    return CommandLine(monkeypatch, capsys)


def listed(tds: CommandLine) -> dict[str, dict]:
    return {job["name"]: job for job in tds("schedule", "list", "--json").json}


def taken(world: World) -> list[str]:
    with session_scope(world.engine) as session:
        return [slot.job for slot in job_store.claim_due(session)]


def test_every_job_is_shown_with_its_next_slot(tds: CommandLine) -> None:
    upcoming = datetime.fromisoformat(listed(tds)["often"]["next_at"])
    assert datetime.now(UTC) < upcoming <= datetime.now(UTC) + timedelta(seconds=60)
    assert "nightly" in tds("schedule", "list").out


def test_a_paused_job_takes_no_slot_and_has_no_next_one(tds: CommandLine, world: World) -> None:
    tds("schedule", "pause", "often")
    world.execute("update tds_scheduled_jobs set updated_at = now() - interval '10 minutes'")
    assert "often" not in taken(world)
    assert listed(tds)["often"]["next_at"] is None


def test_a_resumed_job_does_not_catch_up_on_what_went_by_while_it_was_paused(tds: CommandLine, world: World) -> None:
    world.execute("insert into tds_schedule_slots (job, slot_at) values ('often', now() - interval '1 hour')")
    tds("schedule", "pause", "often")
    tds("schedule", "resume", "often")
    assert taken(world) == []
    assert listed(tds)["often"]["next_at"] is not None


def test_a_new_rhythm_counts_at_once(tds: CommandLine, world: World) -> None:
    assert tds("schedule", "set", "nightly", "30 4 * * *").exit_code == 0
    upcoming = datetime.fromisoformat(listed(tds)["nightly"]["next_at"])
    assert (upcoming.hour, upcoming.minute) == (4, 30)


def test_a_rhythm_that_is_none_changes_nothing(tds: CommandLine, world: World) -> None:
    said = tds("schedule", "set", "nightly", "whenever")
    assert (said.exit_code, "every:SECONDS" in said.errors) == (2, True)
    assert listed(tds)["nightly"]["cron"] == "0 2 * * *"


def test_what_happens_to_missed_slots_is_settable(tds: CommandLine) -> None:
    assert tds("schedule", "missed", "nightly", "skip").exit_code == 0
    assert listed(tds)["nightly"]["missed"] == "skip"
    assert tds("schedule", "missed", "nightly", "twice").exit_code == 2
    assert tds("schedule", "missed", "weekly", "once").exit_code == 1


def test_a_job_can_be_run_now(tds: CommandLine, world: World) -> None:
    assert tds("schedule", "run", "nightly").exit_code == 0
    assert world.value("select count(*) from tds_sync_runs where mode = 'full'") == len(ENTITIES)
    assert listed(tds)["nightly"]["last_result"] == "completed"


def test_a_job_that_fails_is_exit_code_1_and_its_slot_says_so(tds: CommandLine) -> None:
    said = tds("schedule", "run", "broken")
    assert said.exit_code == 1
    assert listed(tds)["broken"]["last_result"] == "failed"


@pytest.mark.parametrize("words", [("pause",), ("resume",), ("run",)])
def test_a_job_nobody_knows_is_reported_with_those_there_are(tds: CommandLine, words: tuple[str, ...]) -> None:
    said = tds("schedule", *words, "weekly")
    assert (said.exit_code, "broken, nightly, often" in said.errors) == (1, True)
