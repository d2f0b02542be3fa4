"""Dry runs promise: they say what a pass would change, field by field, and change nothing but their own report."""

import pytest

from tds_core.sync.run_requests import request_sync
from tds_models.db import session_scope
from tests.integration.cli.test_sync import worker
from tests.support.command_line import CommandLine
from tests.support.standin import StandIn
from tests.support.world import World


@pytest.fixture
def tds(synced: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def dry_run(world: World, entity: str, *, full: bool) -> dict:
    with session_scope(world.engine) as session:
        run_id = request_sync(session, entity=entity, mode="dry_run", full=full, requested_by="test")
    world.advance(run_id)
    return world.run_row(run_id)


def written(world: World) -> list:
    """Everything a dry run must leave alone."""
    return [
        world.rows("select source_id, xmin::text from erp.product order by 1"),
        world.rows("select source_id, xmin::text from erp.invoice order by 1"),
        world.rows("select count(*) from tds_audit_trail"),
        world.rows("select entity, modified_at from tds_sync_cursors order by 1"),
        world.rows("select source_id, generation from tds_sync_queue order by 1"),
        world.rows("select count(*) from tds_dead_letter_queue"),
    ]


def test_an_empty_mirror_would_get_everything_and_gets_nothing(synced: World, standin: StandIn) -> None:
    before = written(synced)
    run = dry_run(synced, "product", full=True)
    assert (run["state"], run["outcomes"]["created"]) == ("completed", 45)
    assert {each["source_id"] for each in run["report"]["created"]} == set(standin.ids("items"))
    assert written(synced) == before


@pytest.mark.parametrize("full", [True, False])
def test_what_would_change_is_reported_with_what_stands_here_and_there(
    synced: World, standin: StandIn, full: bool
) -> None:
    synced.run("product", "full")
    changed, gone = standin.ids("items")[0], standin.ids("items")[1]
    stood = synced.row("product", changed)["price"]
    standin.edit("items", changed, rate=77.5)
    standin.delete("items", gone)
    new = standin.create("items", name="Brand new", rate=3).id
    before = written(synced)
    run = dry_run(synced, "product", full=full)
    assert written(synced) == before
    report = run["report"]
    assert [(each["source_id"], each["name"]) for each in report["created"]] == [(new, "Brand new")]
    [update] = report["updated"]
    assert update["source_id"] == changed
    assert [float(each) for each in update["changes"]["price"]] == [float(stood), 77.5]
    assert run["outcomes"].get("absent", 0) == (1 if full else 0)
    assert [each["source_id"] for each in report.get("absent", [])] == ([gone] if full else [])
    assert run["api_call_count"] >= 1


def test_documents_show_what_their_list_shows_and_how_many_details_would_be_read(
    synced: World, standin: StandIn
) -> None:
    synced.run("invoice", "full")
    changed = standin.ids("invoices")[:2]
    for record_id in changed:
        standin.edit("invoices", record_id, reference_number="seen")
    before = written(synced)
    run = dry_run(synced, "invoice", full=False)
    assert written(synced) == before
    assert run["outcomes"]["to_read"] == 2
    assert {each["source_id"] for each in run["report"]["updated"]} == set(changed)
    assert all(each["changes"]["reference_number"][1] == "seen" for each in run["report"]["updated"])


def test_a_dry_run_stands_in_no_runs_way(synced: World) -> None:
    with session_scope(synced.engine) as session:
        dry = request_sync(session, entity="product", mode="dry_run", requested_by="test")
        assert request_sync(session, entity="product", mode="full", requested_by="test") != dry
    assert synced.run("product", "full")["state"] == "completed"


def test_the_command_waits_and_shows_the_difference(tds: CommandLine, synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    standin.edit("items", standin.ids("items")[0], name="Renamed", rate=77.5)
    with worker(synced):
        said = tds("sync", "product", "--mode", "dry-run", "--full")
        as_json = tds("sync", "product", "--mode", "dry-run", "--json").json
    assert said.exit_code == 0
    assert "updated 1" in said.out
    assert "Renamed" in said.out
    assert "77.5" in said.out
    assert as_json[0]["report"]["updated"][0]["changes"]["price"][1] == "77.5"
