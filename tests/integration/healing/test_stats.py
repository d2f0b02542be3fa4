"""Healing is asked for and shown over HTTP and by command, to those who may."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.support.command_line import CommandLine
from tests.support.webhook_sender import TOKEN, Sender, sender_for
from tests.support.worker_reports import deeds, leave_canaries, tell
from tests.support.world import World

PATH = "/api/tds/auto-healing"


@pytest.fixture
def sender(world: World, database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


@pytest.fixture
def tds(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def orphan(world: World) -> None:
    """Work in the hands of a worker that is gone."""
    world.enqueue("product", "1")
    world.claim(lease_seconds=0)


def run(sender: Sender, token: str = TOKEN):
    return sender.app.test_client().post(f"{PATH}/run", headers={"Authorization": f"Bearer {token}"})


def test_an_operator_has_a_cycle_run_at_once_without_redis_or_workers(sender: Sender, orphan: None) -> None:
    answer = run(sender)
    assert answer.status_code == 200
    assert (answer.json["cause"], answer.json["counts"]["leases"]) == ("operator", 1)
    assert [deed["action"] for deed in answer.json["actions"]] == ["leases"]


def test_without_the_token_nothing_is_run_or_shown(sender: Sender, world: World, orphan: None) -> None:
    assert run(sender, "wrong").status_code == 401
    for path in ("stats", "history"):
        assert sender.app.test_client().get(f"{PATH}/{path}").status_code == 401
    assert deeds(world, "leases") == []


def test_the_figures_tell_what_each_action_did_and_who_listens(sender: Sender, world: World, orphan: None) -> None:
    tell(world, heard_seconds=70.0, lost_queues=["tds.high"])
    leave_canaries(world, "tds.high")
    run(sender)
    found = sender.get(f"{PATH}/stats").json
    actions = {each["action"]: each for each in found["actions"]}
    assert (actions["leases"]["done_count"], actions["leases"]["success_share"]) == (1, 1.0)
    assert actions["workers"]["mean_lasted_seconds"] >= 70
    assert actions["letters"]["success_share"] is None
    assert (found["cycle_count"], found["last_cycle"]["requested_by"]) == (1, "token")
    [worker] = found["workers"]
    assert (worker["state"], worker["deaf_reason"]) == ("deaf", "no longer consumes tds.high")
    assert worker["is_replaced"] is False
    assert [(each["queue"], each["unanswered_count"]) for each in found["queues"]] == [("tds.high", 4)]


def test_the_history_is_paged_and_filtered(sender: Sender, world: World) -> None:
    for number in range(5):
        world.execute(
            "insert into tds_healing_actions (action, cause, outcome, count) values (:action, 'beat', 'done', 1)",
            action="leases" if number % 2 else "letters",
        )
    first = sender.get(f"{PATH}/history", limit=3).json
    second = sender.get(f"{PATH}/history", limit=3, cursor=first["next_cursor"]).json
    ids = [int(each["id"]) for each in first["items"] + second["items"]]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), second["next_cursor"]) == (5, None)
    assert len(sender.get(f"{PATH}/history", action="leases").json["items"]) == 2
    assert sender.get(f"{PATH}/history", action="nothing").status_code == 422


def test_prometheus_sees_who_listens_and_what_was_healed(sender: Sender, world: World, orphan: None) -> None:
    tell(world)
    leave_canaries(world, "tds.high")
    run(sender)
    page = sender.app.test_client().get("/metrics").text
    assert 'tds_workers{state="listening"} 1.0' in page
    assert 'tds_healing_actions_total{action="leases",outcome="done"}' in page
    [seconds] = [line.split()[-1] for line in page.splitlines() if 'unheard_seconds{queue="tds.high"}' in line]
    assert float(seconds) >= 61


def test_a_command_heals_and_shows_what_was_done(tds: CommandLine, world: World, orphan: None) -> None:
    said = tds("heal", "run")
    assert (said.exit_code, "takes back the work of dead and silent workers" in said.out) == (0, True)
    assert tds("heal", "run", "--json").json["counts"]["leases"] == 0
    assert "leases" in tds("heal", "history").out
    assert [each["action"] for each in tds("heal", "history", "--json").json] == ["leases"]
    assert tds("heal", "stats", "--json").json["cycle_count"] == 2
    assert "2 cycles" in tds("heal", "stats").out


def test_a_cycle_in_which_an_action_failed_is_an_error_of_the_command(
    tds: CommandLine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.enqueue("product", "1")
    world.execute("update tds_sync_queue set next_attempt_at = now() - interval '1 minute'")
    monkeypatch.setattr("tds_tasks.healing_loop.announce", lambda entity: False)
    said = tds("heal", "run")
    assert (said.exit_code, "failed" in said.out) == (1, True)


def test_an_action_nobody_knows_is_answered_with_those_there_are(tds: CommandLine) -> None:
    said = tds("heal", "history", "--action", "magic")
    assert (said.exit_code, "leases" in said.errors) == (2, True)
