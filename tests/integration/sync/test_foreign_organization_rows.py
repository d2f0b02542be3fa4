"""Rows of two organisations in one mirror are told by doctor and verify, and a full pass with approval ends it."""

from typing import Any

import pytest
from sqlalchemy import text

from tds_api.cli.doctor_checks.foreign_organization_rows import one_organization
from tds_core.config.settings import load_settings
from tds_core.sync import mass_change_guard, unconfirmed_records
from tds_core.sync.change_limits import ChangeLimits
from tds_models.db import session_scope
from tds_tasks import runs as run_tasks
from tests.support.command_line import CommandLine
from tests.support.standin import StandIn, names
from tests.support.world import World, delivery, invoice, product
from zoho_sandbox.settings import Settings

MINE, OTHER = Settings().organization_id, "111222333"
FOREIGN = [f"990000000000{number:03}" for number in range(30)]
RECORDS = {"product": product, "invoice": invoice}


@pytest.fixture
def tds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys, columns=None)


def bring_in(world: World, entity: str, *source_ids: str, organization_id: str | None = OTHER) -> None:
    """Let records of another organisation live here as if one of its lists had shown them."""
    named = {"organization_id": organization_id} if organization_id else {}
    for source_id in source_ids:
        world.deliver(delivery(entity, RECORDS[entity](source_id, **named)))
    world.drain(entity)
    world.execute("delete from tds_strangers")
    world.execute("delete from tds_sync_queue")
    world.execute(f"update erp.{entity} set confirmed_at = now() where source_id = any(:ids)", ids=list(source_ids))
    living = world.value(
        f"select count(*) from erp.{entity} where source_id = any(:ids) and deleted_at is null", ids=list(source_ids)
    )
    assert living == len(source_ids)


def drain(world: World, *entities: str) -> None:
    for entity in entities:
        while world.drain(entity):
            pass  # a busy worker gives bulk back half read


def looked(tds: CommandLine) -> tuple[int, list[dict[str, Any]]]:
    said = tds("doctor", "--offline", "--json")
    return said.exit_code, [each for each in said.json if each["check"] == "Organisation"]


def unkept(verified: Any) -> dict[str, int]:
    return {each["name"]: each["violation_count"] for each in verified["checks"] if each["violation_count"]}


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
def test_another_organisation_s_products_are_reported_and_go_once_a_person_approved(
    synced: World, standin: StandIn, tds: CommandLine, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    monkeypatch.setattr(run_tasks, "_limits", lambda: ChangeLimits(percent=5, records=6))
    synced.run("product", "full")
    drain(synced, "product", "stock_level")
    assert (len(synced.mirror("product", "name")), [each["state"] for each in looked(tds)[1]]) == (45, ["ok"])
    bring_in(synced, "product", *FOREIGN, organization_id=OTHER if named else None)

    _, before = looked(tds)
    verified = tds("verify", "--json")
    assert (verified.exit_code, unkept(verified.json)) == (
        (1, {"rows_are_of_one_organization": 30}) if named else (0, {})
    )
    if named:
        [told] = before
        assert (told["state"], told["is_ok"]) == ("critical", False)
        assert f"product: 30 living rows say that they are of organisation {OTHER}, and {MINE} is" in told["says"]
        assert "tds sync product --mode full" in told["mend"]
        assert "tds runs approve" in told["mend"]

    run = synced.run("product", "full")
    assert (run["state"], run["end_reason"].startswith("30 of 75 records are missing")) == ("held", True)
    assert (f"30 of them say that they are of organisation {OTHER}" in run["end_reason"]) == named
    _, [told] = looked(tds)
    assert told["state"] == "critical"
    assert f"run {run['id']} is held, since 30 of 75 living rows (40%) are in no list" in told["says"]
    assert f"tds runs approve {run['id']}" in told["mend"]
    [hint] = tds("verify", "--json").json["other_organization_hints"]
    assert (hint["entity"], hint["run_id"], hint["absent_count"], hint["living_count"]) == (
        "product",
        run["id"],
        30,
        75,
    )
    assert f"run {run['id']} is held, since 30 of 75" in tds("verify").out
    assert "another organisation" in tds("runs", "show", str(run["id"])).out

    approved = tds("runs", "approve", str(run["id"]))
    assert "held for 30 records, goes on; it is held again if it comes to more than 60" in approved.out
    synced.advance(run["id"])
    drain(synced, "product", "stock_level")
    assert synced.mirror("product", "name") == names(standin)
    assert synced.value("select count(*) from erp.stock_level where deleted_at is null") == 45
    assert [(each["state"], MINE in each["says"]) for each in looked(tds)[1]] == [("ok", True)]
    after = tds("verify", "--json")
    assert (after.exit_code, after.json["violation_count"], after.json["other_organization_hints"]) == (0, 0, [])


def test_each_entity_is_reported_for_itself_and_by_whose_rows_they_are(synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    bring_in(synced, "product", "9901", "9902")
    bring_in(synced, "product", "9903", organization_id="444")
    bring_in(synced, "invoice", "9904")
    said = {each.says.partition(":")[0]: each.says for each in one_organization(load_settings())}
    assert said["product"] == (
        f"product: 2 living rows say that they are of organisation {OTHER}, and {MINE} is mirrored; "
        f"product: 1 living row says that it is of organisation 444, and {MINE} is mirrored"
    )
    assert said["invoice"].startswith("invoice: 1 living row says")
    assert said.keys() == {"product", "invoice"}


@pytest.mark.parametrize("written", [MINE, f" {MINE} ", "", None, int(MINE), {"id": "1"}])
def test_what_names_the_mirrored_organisation_or_none_is_not_foreign(
    synced: World, standin: StandIn, written: Any
) -> None:
    synced.run("product", "full")
    synced.deliver(delivery("product", product("9901", organization_id=written)))
    synced.drain("product")
    assert [each.is_ok for each in one_organization(load_settings())] == [True]


def test_deleted_rows_of_another_are_no_matter(synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    bring_in(synced, "product", "9901")
    synced.enqueue("product", "9901")
    synced.drain("product")
    assert synced.row("product", "9901")["deleted_at"] is not None
    assert [each.is_ok for each in one_organization(load_settings())] == [True]


def test_before_the_first_answer_nothing_is_foreign(world: World, source: Any) -> None:
    world.deliver(delivery("product", product("9901", organization_id=OTHER)))
    world.drain("product")
    assert list(one_organization(load_settings())) == []


def test_a_mirror_too_large_to_be_read_at_once_is_left_to_verify(
    synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced.run("product", "full")
    monkeypatch.setattr(
        "tds_core.sync.foreign_organization_rows._COUNTED",
        text("select '' as entity, '' as theirs, 0 as row_count from pg_sleep(30)"),
    )
    monkeypatch.setattr("tds_api.cli.doctor_checks.foreign_organization_rows.SECONDS", 1)
    [told] = one_organization(load_settings())
    assert (told.state.value, told.mend) == ("warning", "tds verify")


def test_rows_from_before_the_organisation_may_be_anyone_s_until_a_full_pass_has_ended(
    synced: World, standin: StandIn, tds: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_tasks, "_limits", lambda: ChangeLimits(percent=5, records=6))
    for entity in ("product", "invoice"):
        synced.run(entity, "full")
    bring_in(synced, "product", *FOREIGN, organization_id=None)
    synced.execute("update tds_mirrored_organizations set since = now()")
    _, [found] = looked(tds)
    assert (found["state"], "tds sync all --mode full" in found["mend"]) == ("warning", True)
    assert found["says"].endswith(": invoice 25, product 75, stock_level 45")
    assert "product 75" in tds("verify").out
    assert synced.run("invoice", "full")["state"] == "completed"
    assert looked(tds)[1][0]["says"].endswith(": product 75, stock_level 45")
    run = synced.run("product", "full")
    assert [each["state"] for each in looked(tds)[1]] == ["critical", "warning"], "of products what is held says more"
    with session_scope(synced.engine) as session:
        mass_change_guard.approve(session, run["id"], by="somebody")
    synced.advance(run["id"])
    drain(synced, "product", "stock_level")
    assert looked(tds)[1][0]["says"].endswith(": stock_level 45")
    synced.run("stock_level", "full")
    assert [each["state"] for each in looked(tds)[1]] == ["ok"]


def stranger(world: World, source_id: str) -> dict[str, Any]:
    return world.one("select * from tds_findings where kind = 'stranger' and subject = :id", id=source_id)


@pytest.fixture
def told(synced: World, standin: StandIn) -> World:
    """A webhook told of a product that Zoho does not have."""
    synced.run("product", "full")
    synced.deliver(delivery("product", product("9901"), event="created"))
    synced.drain("product")
    with session_scope(synced.engine) as session:
        unconfirmed_records.enqueue_unconfirmed(session, after_seconds=0)
    drain(synced, "product", "stock_level")
    assert stranger(synced, "9901")["resolved_at"] is None
    return synced


def test_a_stranger_that_is_gone_is_reported_until_a_full_pass_misses_it_too(told: World, tds: CommandLine) -> None:
    _code, [found] = looked(tds)
    assert (found["state"], "tds findings --kind stranger" in found["mend"]) == ("warning", True)
    assert "product: 1 of which only webhooks told" in found["says"]
    assert tds("verify", "--json").json["other_organization_hints"][0]["stranger_count"] == 1
    told.enqueue("product", "9901")
    told.drain("product")
    told.run("product", "incremental")
    assert stranger(told, "9901")["resolved_at"] is None, "that it is denied again does not say whose it was"
    assert told.run("product", "full")["state"] == "completed"
    assert stranger(told, "9901")["resolved_by"] == "tds"
    assert [each["state"] for each in looked(tds)[1]] == ["ok"]


def test_a_stranger_named_during_a_pass_waits_for_the_next(told: World) -> None:
    run_id = told.request_run("product", "full")
    told.execute("update tds_findings set last_seen_at = now() + interval '1 minute'")
    told.advance(run_id)
    assert told.run_row(run_id)["state"] == "completed"
    assert stranger(told, "9901")["resolved_at"] is None


@pytest.mark.parametrize("door", ["list", "detail"])
def test_a_stranger_that_turns_out_to_be_ours_is_reported_no_more(told: World, standin: StandIn, door: str) -> None:
    ours = standin.create("items", name="New here", rate=3)
    told.execute("update tds_findings set subject = :id", id=ours.id)
    if door == "list":
        told.run("product", "incremental", drains=False)
    else:
        told.enqueue("product", ours.id)
        told.drain("product")
    assert told.row("product", ours.id)["deleted_at"] is None
    assert stranger(told, ours.id)["resolved_by"] == "tds"
