"""A comparison says equal only of what it has seen on both sides."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from tds_core.comparison import comparisons, confirmation, list_comparison
from tds_core.sync import runs
from tds_core.sync.run_requests import InvalidRequestError, request_sync
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tds_tasks import runs as run_tasks
from tds_tasks import schedule
from tests.support.comparing import compare, differences
from tests.support.planted_faults import FAULTS, Ground
from tests.support.standin import StandIn
from tests.support.world import World, forget_context
from zoho_sandbox.record import Record


def test_a_mirror_that_is_right_is_proven_equal_by_its_lists(loaded: World, standin: StandIn) -> None:
    standin.calls.clear()
    comparison = compare(loaded)
    assert differences(loaded, comparison) == []
    assert (comparison["state"], comparison["agreement"], comparison["score"]) == ("completed", "equal", 100)
    # One call a page, and details only where lists do not show every change: prices, stock by location, locations.
    details = [path for path in standin.calls if path.rsplit("/", 1)[-1].isdigit() or path.endswith("itemdetails")]
    assert len(details) == 3 + 3 + 1
    assert loaded.value("select sum(api_call_count) from tds_comparison_reports") == len(standin.calls)


def test_every_planted_fault_is_found_and_nothing_else(ground: Ground) -> None:
    expected = ground.plant_all()
    assert len(FAULTS) >= 36
    comparison = compare(ground.world)
    found = {
        (row["entity"], row["source_id"], row["kind"]): row
        for row in differences(ground.world, comparison)
        if row["state"] == "confirmed"
    }
    undecided = [row for row in differences(ground.world, comparison) if row["state"] != "confirmed"]
    assert {name for each, name in expected.items() if each not in found} == set()
    assert {each: row["fields"] for each, row in found.items() if each not in expected} == {}
    assert undecided == []
    assert comparison["agreement"] == "differs"


CAUSES = {
    "price_changed_there": "webhook_lost",
    "product_deleted_there": "webhook_lost",
    "webhook_refused": "webhook_refused",
    "given_up_here": "dead_letter",
    "price_changed_here": "edited_here",
    "line_changed_here": "edited_here",
    "row_deleted_here": "deleted_here",
    "stock_moved_between_locations_there": "unannounced",
}


@pytest.mark.parametrize("name", list(CAUSES))
def test_the_cause_is_what_the_tables_tell(ground: Ground, name: str) -> None:
    expected = {each[1] for each in FAULTS[name](ground)}
    ground.world.execute("update erp.product set changed_at = changed_at - interval '1 hour'")
    comparison = compare(ground.world)
    causes = {row["cause"] for row in differences(ground.world, comparison) if row["source_id"] in expected}
    assert causes == {CAUSES[name]}


def test_a_difference_says_what_stands_on_both_sides(ground: Ground) -> None:
    record_id = ground.take("items")
    price = ground.world.value("select price from erp.product where source_id = :id", id=record_id)
    compare(ground.world, "product")
    ground.sql("update erp.product set price = price + 1 where source_id = :id", id=record_id)
    comparison = compare(ground.world, "product")
    [row] = differences(ground.world, comparison)
    assert row["fields"] == {"price": [str(price + 1), str(price)]}
    assert row["explanation"].startswith("changed here, not by TDS; it was last equal at ")
    report = ground.world.one("select * from tds_comparison_reports where comparison_id = :id", id=comparison["id"])
    assert (report["equal_count"], report["different_count"], report["agreement"]) == (44, 1, "differs")
    assert report["match_percent"] == pytest.approx(Decimal("97.7777"))
    assert report["root_here"] != report["root_there"]
    kinds = ground.world.rows("select kind, subject from tds_findings where resolved_at is null")
    assert {"kind": "comparison_differs", "subject": "product"} in kinds


def test_nothing_is_compared_twice_while_neither_side_moves(
    loaded: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(loaded, "product", "invoice")
    read = []
    monkeypatch.setattr(list_comparison, "transform", lambda *_args, **_more: read.append(1))
    standin.calls.clear()
    comparison = compare(loaded, "product", "invoice")
    assert (read, comparison["agreement"]) == ([], "equal")
    assert len(standin.calls) == 5 + 3


def test_a_comparison_that_follows_a_full_pass_asks_nothing(loaded: World, standin: StandIn) -> None:
    for name in ENTITIES:
        loaded.run(name, "full")
    standin.calls.clear()
    comparison = compare(loaded, follow_seconds=3600)
    assert (comparison["agreement"], standin.calls) == ("equal", [])
    reports = loaded.rows("select follows_run_id, equal_count, here_count from tds_comparison_reports")
    assert all(each["follows_run_id"] and each["equal_count"] == each["here_count"] > 0 for each in reports)
    standin.calls.clear()
    loaded.execute("update erp.product set price = price + 1 where source_id = :id", id=standin.ids("items")[3])
    comparison = compare(loaded, follow_seconds=3600)
    [row] = differences(loaded, comparison)
    assert (row["entity"], row["cause"], len(standin.calls)) == ("product", "edited_here", 1)


def test_two_at_once_become_one(loaded: World) -> None:
    with session_scope(loaded.engine) as session:
        one = comparisons.request_comparison(session, requested_by="one")
    with session_scope(loaded.engine) as session:
        other = comparisons.request_comparison(session, requested_by="other")
    assert one == other
    assert loaded.value("select count(*) from tds_comparison_reports") == len(ENTITIES)


@pytest.mark.parametrize("kind", ["listing_cut", "listing_empty", "listing_halved"])
def test_a_list_that_leaves_records_out_makes_no_differences(loaded: World, standin: StandIn, kind: str) -> None:
    standin.fail(kind, "/inventory/v1/items", count=0)
    comparison = compare(loaded, "product")
    assert [row for row in differences(loaded, comparison) if row["state"] == "confirmed"] == []
    [row] = loaded.rows("select * from tds_comparison_reports")
    assert (comparison["agreement"], row["agreement"]) == ("unproven", "unproven")
    assert "the list is not believed" in row["reason"]
    assert loaded.value("select count(*) from tds_statements") == 0


def test_a_record_tds_still_has_work_for_is_not_called_different(ground: Ground) -> None:
    record_id = ground.take("items")
    ground.standin.edit("items", record_id, rate=77.75)
    ground.world.enqueue("product", record_id)
    comparison = compare(ground.world, "product")
    [row] = differences(ground.world, comparison)
    assert (row["state"], row["suspected_for"]) == ("suspect", "TDS has work to do for it")
    assert comparison["agreement"] == "unproven"
    ground.world.drain("product", make_due=True)
    assert compare(ground.world, "product")["agreement"] == "equal"


def test_a_change_of_a_moment_ago_may_still_be_on_its_way(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDS_COMPARISON_SETTLE_SECONDS", "3600")
    forget_context()
    ground.standin.edit("items", ground.take("items"), rate=77.75)
    comparison = compare(ground.world, "product")
    [row] = differences(ground.world, comparison)
    assert row["state"] == "suspect"
    assert "on its way" in row["suspected_for"]


@pytest.mark.parametrize("call", range(1, 9))
def test_a_comparison_killed_at_any_call_resumes(ground: Ground, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """The process ends before it stores what call number `call` brought."""
    expected = {each for name in ("price_changed_there", "product_deleted_there") for each in FAULTS[name](ground)}
    calls = []

    def watch(_path: str, _query: Mapping[str, str]) -> None:
        calls.append(1)
        if len(calls) == call:
            ground.world.execute("update tds_sync_runs set lease_token = null where mode = 'comparison'")

    ground.standin.before_call = watch
    comparison = compare(ground.world, "product")
    found = {(row["entity"], row["source_id"], row["kind"]) for row in differences(ground.world, comparison)}
    assert found == {each for each in expected if each[0] == "product"}
    assert comparison["agreement"] == "differs"


def test_a_cancelled_comparison_proves_nothing(loaded: World) -> None:
    with session_scope(loaded.engine) as session:
        comparison_id = comparisons.request_comparison(session, requested_by="test", entities=["product", "invoice"])
    with session_scope(loaded.engine) as session:
        assert comparisons.cancel(session, comparison_id, by="test")
    comparison = loaded.one("select * from tds_comparisons")
    assert (comparison["state"], comparison["agreement"]) == ("cancelled", "unproven")
    with session_scope(loaded.engine) as session:
        assert not comparisons.cancel(session, comparison_id, by="test")
    assert compare(loaded, "product")["agreement"] == "equal"


def test_the_sample_finds_what_no_list_shows(ground: Ground) -> None:
    """A field that lists do not show changes, and the time of change stays: that is what `inferred` means."""
    collection = ground.standin.sandbox.world.collections["items"]
    record = collection.records[ground.take("items")]
    changed = Record(record.id, {**record.state, "category_name": "Elsewhere"}, record.created, record.modified)
    collection.replace(record, changed)
    assert compare(ground.world, "product")["agreement"] == "equal"
    report = ground.world.one("select * from tds_comparison_reports order by comparison_id desc limit 1")
    assert report["grades"]["inferred"] == ["category_id", "category_name"]
    comparison = compare(ground.world, "product", sample_size=45)
    [row] = differences(ground.world, comparison)
    assert (row["source_id"], row["cause"]) == (record.id, "unannounced")
    report = ground.world.one("select * from tds_comparison_reports order by comparison_id desc limit 1")
    assert report["grades"]["sample"] == {"size": 45, "faults": 1, "at_most": None}
    assert report["detail_count"] == 45


def test_what_brings_something_goes_before_comparisons(world: World) -> None:
    with session_scope(world.engine) as session:
        comparisons.request_comparison(session, requested_by="test")
    run_id = world.request_run("invoice", "incremental")
    with session_scope(world.engine) as session:
        assert runs.due_runs(session, limit=2)[0] == run_id


def test_a_comparison_whose_run_was_cancelled_or_failed_ends_unproven_and_stands_in_nobodys_way(world: World) -> None:
    for state in ("cancelled", "failed"):
        with session_scope(world.engine) as session:
            comparison_id = comparisons.request_comparison(session, requested_by="test", entities=["vendor"])
        world.execute(
            "update tds_sync_runs set state = :state, end_reason = 'because' where state = 'queued'", state=state
        )
        schedule.JOBS["rescue"]({})
        comparison = world.one("select * from tds_comparisons where id = :id", id=comparison_id)
        assert (comparison["state"], comparison["agreement"]) == (state, "unproven")
        assert world.value("select reason from tds_comparison_reports where comparison_id = :id", id=comparison_id)
    assert world.value("select count(*) from tds_comparisons") == 2


def test_a_comparison_is_not_asked_for_as_a_sync(world: World) -> None:
    with session_scope(world.engine) as session, pytest.raises(InvalidRequestError, match="tds compare"):
        request_sync(session, entity="product", mode="comparison", requested_by="test")


@pytest.mark.parametrize("where", ["list_comparison", "confirmation"])
def test_a_row_that_changes_while_it_is_compared_is_not_proven(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Between two statements of one comparison somebody else commits."""
    module = {"list_comparison": list_comparison, "confirmation": confirmation}[where]
    record_id = ground.take("items")
    if where == "confirmation":
        ground.sql("update erp.product set lines_confirmed_at = null where source_id = :id", id=record_id)
    whole = module.read_rows

    def read_rows(*arguments: Any) -> Any:
        rows = whole(*arguments)
        ground.sql("update erp.product set price = price + 1 where source_id = :id", id=record_id)
        return rows

    monkeypatch.setattr(module, "read_rows", read_rows)
    with session_scope(ground.world.engine) as session:
        comparison_id = comparisons.request_comparison(session, requested_by="test", entities=["product"])
    run_id = ground.world.value("select run_id from tds_comparison_reports")
    run_tasks.advance_run(run_id, slice_seconds=30)
    monkeypatch.undo()
    proven = "select count(*) from tds_record_proofs where entity = 'product' and source_id = :id"
    assert ground.world.value(proven, id=record_id) == 0
    assert ground.world.value("select count(*) from tds_record_proofs") > 0
    assert comparison_id
