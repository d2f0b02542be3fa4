"""Held runs promise: what would change or delete too much waits for a person, and a broken listing deletes nothing."""

from collections.abc import Iterator
from typing import Any

import pytest

from tds_core.sync import mass_change_guard, runs
from tds_core.sync.change_limits import ChangeLimits
from tds_models.db import session_scope
from tds_tasks import runs as run_tasks
from tests.support.standin import StandIn, before_page, names
from tests.support.world import World

ITEMS = "/inventory/v1/items"


@pytest.fixture
def mirrored(synced: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world whose products and invoices were read once; more than six changes are too many."""
    synced.run("product", "full")
    synced.run("invoice", "full")
    monkeypatch.setattr(run_tasks, "_limits", lambda: ChangeLimits(percent=5, records=6))
    yield synced


def held(world: World, run_id: int) -> dict[str, Any]:
    """What the run is held for."""
    assert world.run_row(run_id)["state"] == "held"
    return world.one("select * from tds_run_holds where run_id = :id and decided_at is null", id=run_id)


def approve(world: World, run_id: int, **more: Any) -> int:
    with session_scope(world.engine) as session:
        return mass_change_guard.approve(session, run_id, by="somebody", **more)


def reprice(standin: StandIn, count: int) -> list[str]:
    changed = standin.ids("items")[:count]
    for record_id in changed:
        standin.edit("items", record_id, rate=77.5)
    return changed


def spoil_listing(standin: StandIn, kind: str) -> None:
    """The list breaks: cut off at page 3, empty, or without half of its rows."""
    if kind == "listing_cut":
        before_page(standin, 3, lambda: standin.fail(kind, ITEMS))
    else:
        standin.fail(kind, ITEMS, count=0)


LISTINGS = ["listing_cut", "listing_empty", "listing_halved"]


@pytest.mark.parametrize("kind", LISTINGS)
def test_a_broken_listing_is_held_before_anything_is_asked_or_deleted(
    mirrored: World, standin: StandIn, kind: str
) -> None:
    spoil_listing(standin, kind)
    run = mirrored.run("product", "full")
    assert held(mirrored, run["id"])["kind"] == "deletion"
    assert mirrored.mirror("product", "name") == names(standin)
    assert not [path for path in standin.calls if path.startswith(f"{ITEMS}/")]
    assert mirrored.value("select count(*) from tds_sync_queue where entity = 'product'") == 0


@pytest.mark.parametrize("kind", LISTINGS)
def test_even_an_approved_broken_listing_deletes_nothing_that_lives(
    mirrored: World, standin: StandIn, kind: str
) -> None:
    spoil_listing(standin, kind)
    run = mirrored.run("product", "full")
    approve(mirrored, run["id"])
    mirrored.advance(run["id"])
    while mirrored.drain("product"):
        pass  # a busy worker gives bulk back half read
    assert mirrored.run_row(run["id"])["state"] == "completed"
    assert mirrored.mirror("product", "name") == names(standin)


def test_an_approved_run_reads_the_end_again_and_finds_what_was_missing(mirrored: World, standin: StandIn) -> None:
    spoil_listing(standin, "listing_cut")
    run = mirrored.run("product", "full")
    approve(mirrored, run["id"])
    mirrored.advance(run["id"])
    assert mirrored.run_row(run["id"])["outcomes"].get("absent", 0) == 0


def test_many_deletions_are_shown_with_their_names_and_happen_once_approved(mirrored: World, standin: StandIn) -> None:
    gone = standin.ids("items")[:9]
    expected = {each: standin.detail("items", each)["name"] for each in gone}
    for record_id in gone:
        standin.delete("items", record_id)
    run = mirrored.run("product", "full")
    found = held(mirrored, run["id"])
    assert (found["kind"], found["record_count"], found["preview"]["living_count"]) == ("deletion", 9, 45)
    assert {each["source_id"]: each["name"] for each in found["preview"]["examples"]} == expected
    assert approve(mirrored, run["id"]) == 18
    mirrored.advance(run["id"])
    while mirrored.drain("product"):
        pass  # a busy worker gives bulk back half read
    assert mirrored.mirror("product", "name") == names(standin)
    assert mirrored.run_row(run["id"])["outcomes"]["absent"] == 9


def test_few_deletions_need_nobody(mirrored: World, standin: StandIn) -> None:
    for record_id in standin.ids("items")[:6]:
        standin.delete("items", record_id)
    assert mirrored.run("product", "full")["state"] == "completed"
    assert mirrored.mirror("product", "name") == names(standin)


def test_many_changes_stop_at_the_page_that_goes_too_far(mirrored: World, standin: StandIn) -> None:
    changed = set(reprice(standin, 15))
    cursor = mirrored.value("select modified_at from tds_sync_cursors where entity = 'product'")
    run = mirrored.run("product", "incremental")
    found = held(mirrored, run["id"])
    assert found["kind"] == "change"
    assert found["record_count"] > 6
    assert (found["preview"]["written_count"], run["changed_count"]) == (run["changed_count"], run["changed_count"])
    example = found["preview"]["examples"][0]
    assert example["source_id"] in changed
    assert example["changes"]["price"][1] == "77.5"
    written = [price for (price,) in mirrored.mirror("product", "price").values() if price == 77.5]
    assert len(written) == run["changed_count"] <= 6
    assert mirrored.value("select count(*) from tds_audit_trail where origin_id = :id", id=run["id"]) == len(written)
    assert mirrored.value("select modified_at from tds_sync_cursors where entity = 'product'") >= cursor


def test_an_approval_covers_what_was_held_and_as_much_again_and_not_more(mirrored: World, standin: StandIn) -> None:
    reprice(standin, 45)
    run_id = mirrored.run("product", "incremental")["id"]
    decisions = 0
    while mirrored.run_row(run_id)["state"] == "held":
        allowed = approve(mirrored, run_id)
        decisions += 1
        mirrored.advance(run_id)
        assert mirrored.run_row(run_id)["changed_count"] <= allowed
    assert decisions == 2, "held for 10, which covers 20, and for 30, which covers all 45"
    assert mirrored.run_row(run_id)["state"] == "completed"
    assert {price for (price,) in mirrored.mirror("product", "price").values()} == {77.5}


def test_who_knows_what_was_edited_approves_all_of_it_at_once(mirrored: World, standin: StandIn) -> None:
    reprice(standin, 45)
    run_id = mirrored.run("product", "incremental")["id"]
    approve(mirrored, run_id, up_to=45)
    mirrored.advance(run_id)
    assert mirrored.run_row(run_id)["state"] == "completed"


def test_a_rejected_run_changes_nothing_more_and_says_by_whom(mirrored: World, standin: StandIn) -> None:
    reprice(standin, 15)
    run_id = mirrored.run("product", "incremental")["id"]
    before = mirrored.mirror("product", "price")
    with session_scope(mirrored.engine) as session:
        mass_change_guard.reject(session, run_id, by="somebody")
    mirrored.advance(run_id)
    run = mirrored.run_row(run_id)
    assert (run["state"], run["end_reason"].startswith("rejected by somebody")) == ("rejected", True)
    assert mirrored.mirror("product", "price") == before
    decided = mirrored.one("select decision, decided_by from tds_run_holds")
    assert decided == {"decision": "rejected", "decided_by": "somebody"}


def test_a_held_run_can_be_cancelled_and_keeps_others_from_its_stream(mirrored: World, standin: StandIn) -> None:
    reprice(standin, 15)
    run_id = mirrored.run("product", "incremental")["id"]
    assert mirrored.request_run("product", "incremental") == run_id
    with session_scope(mirrored.engine) as session:
        assert runs.cancel(session, run_id, by="somebody")
    assert mirrored.value("select decision from tds_run_holds") == "cancelled"
    assert mirrored.request_run("product", "incremental") != run_id


@pytest.mark.parametrize("decide", [mass_change_guard.approve, mass_change_guard.reject])
def test_a_run_that_waits_for_nobody_cannot_be_decided(mirrored: World, decide: Any) -> None:
    run_id = mirrored.request_run("product", "incremental")
    with session_scope(mirrored.engine) as session, pytest.raises(mass_change_guard.NotHeldError, match="tds runs"):
        decide(session, run_id, by="somebody")


def test_changed_rows_of_documents_count_though_their_details_are_still_to_be_read(
    mirrored: World, standin: StandIn
) -> None:
    for record_id in standin.ids("invoices")[:10]:
        standin.edit("invoices", record_id, notes="not on the list")
    run = mirrored.run("invoice", "incremental", drains=False)
    assert held(mirrored, run["id"])["record_count"] > 6
    assert mirrored.value("select count(*) from tds_sync_queue where entity = 'invoice'") == run["changed_count"]


def test_a_first_load_is_never_held_and_neither_are_new_records(
    synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_tasks, "_limits", lambda: ChangeLimits(percent=0, records=1))
    before_page(standin, 3, lambda: reprice(standin, 15))
    assert synced.run("product", "full")["state"] == "completed"
    for number in range(15):
        standin.create("items", name=f"New {number}", rate=1)
    run = synced.run("product", "full")
    assert (run["state"], run["outcomes"]["created"]) == ("completed", 15)
