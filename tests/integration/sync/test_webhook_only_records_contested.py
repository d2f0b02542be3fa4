"""A record that a list shows and its detail call denies stays as the list shows it, and nothing flaps."""

from typing import Any

import pytest

from tests.support.standin import StandIn
from tests.support.world import World, delivery
from zoho_sandbox.api_faults import Appointment

PLACES = {"invoice": ("invoices", "/books/v3/invoices"), "sales_order": ("salesorders", "/inventory/v1/salesorders"),
          "bill": ("bills", "/books/v3/bills")}  # fmt: skip


def deny(standin: StandIn, path: str) -> None:
    standin.sandbox.faults.appoint(Appointment("refusal", 0, path, status=404, code=1002, message="It does not exist."))


def findings(world: World) -> list[dict[str, Any]]:
    return world.rows("select entity, subject, resolved_at from tds_findings where kind = 'listed_but_denied'")


@pytest.mark.parametrize("entity", list(PLACES))
def test_a_listed_record_whose_detail_is_denied_is_written_once(synced: World, standin: StandIn, entity: str) -> None:
    plural, _ = PLACES[entity]
    record_id = standin.ids(plural)[3]
    for api in ("/books/v3", "/inventory/v1"):
        deny(standin, f"{api}/{plural}/{record_id}")
    for _ in range(3):
        synced.run(entity, "full")
    row = synced.row(entity, record_id)
    assert (row["deleted_at"], row["version"], row["lines_confirmed_at"]) == (None, 1, None)
    assert [each["operation"] for each in synced.audit(entity, record_id)] == ["created"]
    [finding] = findings(synced)
    assert (finding["subject"], finding["resolved_at"]) == (record_id, None)
    assert synced.rows("select 1 from tds_dead_letter_queue") == []
    assert synced.queue_depth(entity) == 0
    # A webhook in between does not start it either.
    synced.deliver(delivery(entity, {f"{plural.removesuffix('s')}_id": record_id}, complete=False))
    synced.drain(entity)
    assert synced.row(entity, record_id)["deleted_at"] is None
    assert "list shows" in synced.value("select verdict_reason from tds_inbox_events")
    standin.sandbox.faults.clear()
    synced.run(entity, "full")
    assert synced.row(entity, record_id)["lines_confirmed_at"] is not None
    assert findings(synced)[0]["resolved_at"] is not None


def test_a_contested_record_that_a_list_misses_is_gone(synced: World, standin: StandIn) -> None:
    record_id = standin.ids("invoices")[3]
    deny(standin, f"/books/v3/invoices/{record_id}")
    synced.run("invoice", "full")
    assert synced.row("invoice", record_id)["deleted_at"] is None
    standin.delete("invoices", record_id)
    synced.run("invoice", "full")
    assert synced.row("invoice", record_id)["deleted_at"] is not None
    assert findings(synced)[0]["resolved_at"] is not None


@pytest.mark.parametrize("entity", list(PLACES))
def test_a_contested_record_whose_deletion_a_webhook_tells_of_is_gone(
    synced: World, standin: StandIn, entity: str
) -> None:
    plural, _ = PLACES[entity]
    record_id = standin.ids(plural)[3]
    for api in ("/books/v3", "/inventory/v1"):
        deny(standin, f"{api}/{plural}/{record_id}")
    synced.run(entity, "full")
    record = {f"{plural.removesuffix('s')}_id": record_id}
    synced.deliver(delivery(entity, record, event="deleted", complete=False))
    synced.drain(entity)
    assert synced.row(entity, record_id)["deleted_at"] is not None
    assert synced.value("select verdict from tds_inbox_events") == "deleted"


def test_a_whole_list_does_not_flap_either(synced: World, standin: StandIn) -> None:
    """Products are read in batches, and only when something asks for them."""
    synced.run("product", "full")
    record_id = standin.ids("items")[3]
    for path in (f"/inventory/v1/items/{record_id}", "/inventory/v1/itemdetails"):
        deny(standin, path)
    for second in range(4):
        synced.deliver(delivery("product", {"item_id": record_id, "n": second}, complete=False))
        synced.drain("product")
        synced.run("product", "full")
    assert synced.row("product", record_id)["deleted_at"] is None
    # Gone by a webhook's reading, back by a list: once. After that the list's word stands.
    operations = [each["operation"] for each in synced.audit("product", record_id)]
    assert [each for each in operations if each in ("deleted", "restored")] == ["deleted", "restored"]
    assert [each["subject"] for each in findings(synced)] == [record_id]
