"""Operators see runs, decide about held ones, and ask for given records: by command and over HTTP."""

from collections.abc import Iterator
from getpass import getuser

import pytest

from tds_core.sync.change_limits import ChangeLimits
from tds_tasks import runs as run_tasks
from tests.integration.cli.test_sync import worker
from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World


@pytest.fixture
def tds(synced: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def sender(synced: World, database: str) -> Iterator[Sender]:
    with sender_for(database, synced.engine) as sender:
        yield sender


@pytest.fixture
def held(synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> int:
    """A run that waits for a decision about nine deletions."""
    synced.run("product", "full")
    monkeypatch.setattr(run_tasks, "_limits", lambda: ChangeLimits(percent=5, records=6))
    for record_id in standin.ids("items")[:9]:
        standin.delete("items", record_id)
    return synced.run("product", "full")["id"]


def test_a_held_run_is_shown_with_what_is_at_stake_and_the_next_step(tds: CommandLine, held: int) -> None:
    assert f"tds runs show {held}" in tds("runs").out
    shown = tds("runs", "show", str(held)).out
    assert "9 of 45 records are missing" in shown
    assert f"tds runs approve {held}" in shown
    assert len(tds("runs", "show", str(held), "--json").json["holds"][0]["preview"]["examples"]) == 9
    assert [run["id"] for run in tds("runs", "list", "--state", "held", "--json").json] == [held]


def test_a_held_run_is_a_warning_of_health(tds: CommandLine, synced: World, held: int) -> None:
    synced.execute("insert into tds_pulses (name) values ('dispatcher'), ('beat')")
    said = tds("health", "--only", "runs")
    assert (said.exit_code, "tds runs show" in said.out) == (1, True)


def test_approving_by_command_goes_on_and_says_by_whom(tds: CommandLine, synced: World, held: int) -> None:
    assert tds("runs", "approve", str(held)).exit_code == 0
    synced.advance(held)
    while synced.drain("product"):
        pass  # a busy worker gives bulk back half read
    assert len(synced.mirror("product", "name")) == 36
    assert synced.value("select decided_by from tds_run_holds") == getuser()


def test_what_is_not_held_cannot_be_decided(tds: CommandLine, held: int) -> None:
    assert tds("runs", "reject", str(held)).exit_code == 0
    for words in ("approve", "reject"):
        said = tds("runs", words, str(held))
        assert (said.exit_code, "tds runs --state held" in said.errors) == (1, True)
    assert tds("runs", "show", "999").exit_code == 1
    assert "had ended" in tds("runs", "cancel", str(held)).out


def test_decisions_over_http(sender: Sender, synced: World, held: int) -> None:
    shown = sender.get(f"/api/tds/runs/{held}").json
    assert (shown["state"], shown["holds"][0]["record_count"]) == ("held", 9)
    assert sender.post(f"/api/tds/runs/{held}/approve", {"up_to": 0}).status_code == 422
    approved = sender.post(f"/api/tds/runs/{held}/approve", {"up_to": 10}).json
    assert (approved["state"], approved["holds"][0]["approved_count"]) == ("running", 10)
    assert approved["holds"][0]["decided_by"] == "token"
    again = sender.post(f"/api/tds/runs/{held}/reject", {})
    assert (again.status_code, again.json["code"]) == (409, "run_not_held")
    assert sender.post("/api/tds/runs/999/approve", {}).status_code == 404


def test_a_full_pass_asked_for_behind_an_incremental_one_is_not_swallowed(synced: World) -> None:
    waiting = synced.request_run("product", "incremental")
    assert synced.request_run("product", "full") == waiting
    assert synced.run_row(waiting)["mode"] == "full", "it had not begun, so it reads everything now"
    begun = synced.request_run("vendor", "incremental")
    run_tasks.advance_run(begun, slice_seconds=0)
    synced.execute("update tds_sync_runs set state = 'running', ended_at = null where id = :id", id=begun)
    later = synced.request_run("vendor", "full")
    assert later != begun
    assert synced.request_run("vendor", "incremental") == later
    synced.advance(later)
    assert synced.run_row(later)["state"] == "queued", "it waits"
    synced.advance(begun)
    synced.advance(later)
    assert synced.run_row(later)["state"] == "completed"


def test_a_targeted_run_watches_its_records_and_ends_with_counts(
    tds: CommandLine, synced: World, standin: StandIn
) -> None:
    some = standin.ids("items")[:2]
    with worker(synced):
        said = tds("sync", "product", "--mode", "targeted", "--ids", f"{some[0]}, {some[1]},999", "--wait", "--json")
    assert {row["source_id"]: row["outcome"] for row in said.json} == {
        some[0]: "created", some[1]: "created", "999": "deleted",
    }  # fmt: skip
    run = tds("runs", "list", "--json").json[0]
    assert (run["mode"], run["state"], run["fetched_count"], run["expected_count"]) == ("targeted", "completed", 3, 3)
    assert run["outcomes"] == {"created": 2, "deleted": 1}
    assert (run["requested_by"], run["api_call_count"], run["duration_seconds"] > 0) == (getuser(), None, True)


def test_a_run_on_its_way_says_how_far_it_is_and_when_it_ends(synced: World, sender: Sender, standin: StandIn) -> None:
    synced.run("product", "full")
    run_id = synced.request_run("product", "full")
    run_tasks.advance_run(run_id, slice_seconds=0)
    shown = sender.get(f"/api/tds/runs/{run_id}").json
    assert (shown["fetched_count"], shown["expected_count"], shown["page_count"]) == (10, 45, 1)
    assert shown["ends_at"] is not None
    synced.advance(run_id)
    assert sender.get(f"/api/tds/runs/{run_id}").json["ends_at"] is None


def test_runs_are_started_over_http(sender: Sender, synced: World) -> None:
    started = sender.post("/api/tds/runs", {"entity": "product", "mode": "targeted", "ids": ["1", "1"]})
    assert (started.status_code, started.json["item_count"]) == (202, 1)
    assert sender.post("/api/tds/runs", {"entity": "unicorn", "mode": "full"}).status_code == 422
    dry = sender.post("/api/tds/sync/product", {"mode": "dry_run", "full": True}).json["run_id"]
    synced.advance(int(dry))
    assert len(sender.get(f"/api/tds/runs/{dry}").json["report"]["created"]) == 45
    assert sender.post("/api/tds/sync/product", {"mode": "full", "full": True}).status_code == 422
    everything = sender.post("/api/tds/sync/all", {}).json
    assert {each["mode"] for each in everything} == {"incremental"}


def test_stock_is_asked_for_and_counted(sender: Sender, synced: World, standin: StandIn) -> None:
    run_id = sender.post("/api/tds/sync/stock", {}).json["run_id"]
    synced.advance(int(run_id))
    while synced.drain("stock_level"):
        pass  # a busy worker gives bulk back half read
    stats = sender.get("/api/tds/sync/stock/stats").json
    assert (stats["product_count"], stats["details_left"], stats["last_run"]["id"]) == (45, 0, run_id)
    assert sum(float(each["stock_on_hand"]) for each in stats["locations"]) == pytest.approx(
        float(stats["stock_on_hand"])
    )
    some = sender.post("/api/tds/sync/stock/specific", {"ids": standin.ids("items")[:2]})
    assert (some.status_code, some.json["item_count"]) == (202, 2)
    assert sender.post("/api/tds/sync/stock/specific", {}).status_code == 422
