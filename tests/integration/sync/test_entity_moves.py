"""A contact that becomes a vendor leaves the customers, by whichever door it is heard of, and can come back."""

from typing import Any

import pytest

from tests.support.standin import StandIn
from tests.support.world import World, delivery

CONTACTS = "/books/v3/contacts"


def living(world: World, source_id: str) -> list[str]:
    return [entity for entity in ("customer", "vendor") if source_id in world.mirror(entity, "name")]


def letters(world: World) -> list[dict[str, Any]]:
    return world.rows("select entity, source_id, error, resolution from tds_dead_letter_queue order by id")


@pytest.fixture
def loaded(synced: World, standin: StandIn) -> World:
    """Both kinds of contacts were read, and may change."""
    standin.sandbox.set_limits({"contacts_change_sides": True})
    for entity in ("customer", "vendor"):
        synced.run(entity, "full")
    return synced


def drain(world: World) -> None:
    for _ in range(2):
        for entity in ("customer", "vendor"):
            world.drain(entity, make_due=True)


@pytest.fixture
def customer(loaded: World) -> str:
    return next(iter(sorted(loaded.mirror("customer", "name"))))


def test_a_webhook_of_the_new_kind_ends_the_old_one(loaded: World, standin: StandIn, customer: str) -> None:
    standin.edit("contacts", customer, contact_type="vendor")
    loaded.deliver(delivery("vendor", standin.detail("contacts", customer)))
    drain(loaded)
    assert living(loaded, customer) == ["vendor"]
    row = loaded.row("customer", customer)
    assert row["deleted_at"] is not None
    assert (row["version"], letters(loaded)) == (2, [])


def test_a_webhook_of_the_old_kind_is_answered_with_the_reason(loaded: World, standin: StandIn, customer: str) -> None:
    standin.edit("contacts", customer, contact_type="vendor")
    loaded.deliver(delivery("customer", {"contact_id": customer}, complete=False))
    drain(loaded)
    assert living(loaded, customer) == ["vendor"]
    event = loaded.one("select verdict, verdict_reason from tds_inbox_events")
    assert event["verdict"] == "deleted"
    assert "contact_type: is 'vendor'" in event["verdict_reason"]
    assert loaded.rows("select 1 from tds_findings where kind = 'stranger'") == []


@pytest.mark.parametrize("order", [("customer", "vendor"), ("vendor", "customer")])
@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_passes_move_it_once_and_then_say_nothing(
    loaded: World, standin: StandIn, customer: str, order: tuple[str, str], mode: str
) -> None:
    standin.edit("contacts", customer, contact_type="vendor")
    for entity in order:
        loaded.run(entity, mode)
    drain(loaded)
    assert living(loaded, customer) == ["vendor"]
    versions = loaded.value("select count(*) from tds_audit_trail where source_id = :id", id=customer)
    assert versions == 3  # created, deleted, and created among the vendors
    for entity in (*order, *order):
        loaded.run(entity, "full")
    drain(loaded)
    assert loaded.value("select count(*) from tds_audit_trail where source_id = :id", id=customer) == versions
    assert letters(loaded) == []


def test_it_can_come_back(loaded: World, standin: StandIn, customer: str) -> None:
    for kind, entity in (("vendor", "vendor"), ("customer", "customer"), ("vendor", "vendor")):
        standin.edit("contacts", customer, contact_type=kind)
        loaded.deliver(delivery(entity, standin.detail("contacts", customer)), window_seconds=0)
        drain(loaded)
        assert living(loaded, customer) == [entity]
        loaded.execute("select pg_sleep(0.01)")


def test_a_list_that_ignores_the_type_brings_no_letter_and_no_foreign_row(synced: World, standin: StandIn) -> None:
    standin.fail("filter_ignored", CONTACTS, count=0)
    run = synced.run("customer", "full")
    vendors = {each for each in standin.ids("contacts") if standin.detail("contacts", each)["contact_type"] == "vendor"}
    assert run["state"] == "completed"
    assert run["outcomes"]["other_kind"] == len(vendors) > 0
    assert not vendors & set(synced.mirror("customer", "name"))
    assert len(synced.mirror("customer", "name")) == len(standin.ids("contacts")) - len(vendors)
    assert letters(synced) == []
    [finding] = synced.rows("select kind, subject, detail from tds_findings where kind = 'other_kind'")
    assert (finding["subject"], "filter was ignored" in finding["detail"]["news"]) == ("contact_type", True)


@pytest.mark.parametrize("said", ["", " ", "person", "Vendor"])
@pytest.mark.parametrize("mode", ["full", "targeted"])
def test_a_type_that_says_nothing_moves_nobody_and_hides_nobody(
    loaded: World, standin: StandIn, said: str, mode: str
) -> None:
    here, new = sorted(loaded.mirror("vendor", "name"))[:2]
    loaded.execute("delete from erp.vendor where source_id = :id", id=new)
    for each in (here, new):
        standin.edit("contacts", each, contact_name=f"Renamed {each}")
        standin.sandbox.world.find("contacts", each).state["contact_type"] = said
    if mode == "full":
        standin.fail("filter_ignored", CONTACTS, count=0)
        loaded.run("vendor", "full")
    else:
        loaded.enqueue("vendor", here, new)
    drain(loaded)
    names = loaded.mirror("vendor", "name")
    assert [names[here], names[new]] == [(f"Renamed {here}",), (f"Renamed {new}",)]
    assert here not in loaded.mirror("customer", "name")
    assert letters(loaded) == []
    told = loaded.rows("select detail ->> 'key' as key from tds_findings where kind = 'unreadable_value'")
    assert {each["key"] for each in told} == ({"contact_type"} if said == "person" else set())


@pytest.mark.parametrize("ignored", [True, False])
def test_letters_for_another_kind_heal(loaded: World, standin: StandIn, ignored: bool) -> None:
    vendor = next(iter(loaded.mirror("vendor", "name")))
    loaded.execute(
        "insert into tds_dead_letter_queue (source, entity, source_id, error_class, error, fingerprint, attempts,"
        " priority, correlation_id) values ('zoho', 'customer', :id, 'validation', 'of another kind', 'f', 1, 5, 'c')",
        id=vendor,
    )
    if ignored:
        standin.fail("filter_ignored", CONTACTS, count=0)
    loaded.run("customer", "full")
    assert [letter["resolution"] for letter in letters(loaded)] == ["healed"]


def test_a_dry_run_counts_them_as_what_they_are(loaded: World, standin: StandIn) -> None:
    standin.fail("filter_ignored", CONTACTS, count=0)
    run_id = loaded.request_run("customer", "full")
    loaded.advance(run_id)
    outcomes = loaded.run_row(run_id)["outcomes"]
    assert outcomes["other_kind"] == len(loaded.mirror("vendor", "name"))
