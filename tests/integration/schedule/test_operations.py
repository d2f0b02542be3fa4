"""The timetable over HTTP: what an operator orders is what happens at the next tick."""

from collections.abc import Iterator

import pytest

from tds_core.schedule import job_store
from tds_models.db import session_scope
from tds_tasks import schedule
from tests.support.webhook_sender import TOKEN, Sender, sender_for
from tests.support.world import World

PATH = "/api/tds/schedules"


@pytest.fixture
def sender(world: World, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    monkeypatch.setattr(schedule.celeryconfig, "TIMETABLE", {})
    with session_scope(world.engine) as session:
        job_store.seed(session, {"nightly": ("0 2 * * *", "runs", {"mode": "full", "entities": ["product"]}, "once")})
    with sender_for(database, world.engine) as sender:
        yield sender


def put(sender: Sender, path: str, body: object) -> object:
    return sender.app.test_client().put(path, json=body, headers={"Authorization": f"Bearer {TOKEN}"})


def test_jobs_are_shown_with_their_next_slot(sender: Sender) -> None:
    [job] = sender.get(PATH).json
    assert (job["name"], job["cron"], job["last_result"], job["next_at"] is not None) == (
        "nightly", "0 2 * * *", None, True,
    )  # fmt: skip
    assert sender.get(f"{PATH}/nightly").json == job
    assert sender.get(f"{PATH}/weekly").status_code == 404


def test_a_rhythm_and_a_policy_are_changed_and_nonsense_is_not(sender: Sender) -> None:
    changed = put(sender, f"{PATH}/nightly", {"cron": "30 4 * * *", "missed": "skip"}).json
    assert (changed["cron"], changed["missed"], changed["next_at"][11:16]) == ("30 4 * * *", "skip", "04:30")
    for wrong in ({"cron": "whenever"}, {"missed": "twice"}):
        assert put(sender, f"{PATH}/nightly", wrong).status_code == 422
    assert put(sender, f"{PATH}/weekly", {"cron": "0 1 * * *"}).status_code == 404
    assert sender.get(f"{PATH}/nightly").json["cron"] == "30 4 * * *"


def test_a_job_is_paused_and_resumed(sender: Sender) -> None:
    assert sender.post(f"{PATH}/nightly/pause", {}).json["next_at"] is None
    assert sender.post(f"{PATH}/nightly/resume", {}).json["next_at"] is not None
    for order in ("pause", "resume", "run"):
        assert sender.post(f"{PATH}/weekly/{order}", {}).json["code"] in ("unknown_job", "not_found")


def test_a_job_asked_for_runs_once_at_the_next_tick(sender: Sender, world: World) -> None:
    asked = sender.post(f"{PATH}/nightly/run", {})
    assert (asked.status_code, asked.json["last_begun_at"]) == (202, None)
    for _ in range(2):
        schedule.tick()
    job = sender.get(f"{PATH}/nightly").json
    assert (job["last_result"], job["last_begun_at"] is not None) == ("completed", True)
    assert world.rows("select entity, mode, requested_by from tds_sync_runs") == [
        {"entity": "product", "mode": "full", "requested_by": "schedule"}
    ]
