"""An answer beyond all measure is its record's own: no neighbour waits, no breaker counts it; a list gets smaller."""

import pytest

from tds_core.sources.zoho import responses
from tds_tasks import context
from tests.support.standin import StandIn
from tests.support.world import World, delivery
from zoho_sandbox.api_faults import Appointment


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "MOST_BYTES", 1 << 20)


@pytest.mark.parametrize(("entity", "plural"), [("invoice", "invoices"), ("bill", "bills")])
def test_a_record_that_is_too_large_is_given_up_alone(
    synced: World, standin: StandIn, entity: str, plural: str
) -> None:
    large, other = standin.ids(plural)[:2]
    for api in ("/books/v3", "/inventory/v1"):
        standin.sandbox.faults.appoint(Appointment("padded", 0, f"{api}/{plural}/{large}", mib=2))
    key = f"{entity}_id"
    for _ in range(7):
        synced.deliver(delivery(entity, {key: large}, complete=False), window_seconds=0)
        synced.deliver(delivery(entity, {key: other}, complete=False), window_seconds=0)
        synced.drain(entity)
    [letter] = synced.rows("select source_id, error_class, error, attempts from tds_dead_letter_queue")
    assert (letter["source_id"], letter["error_class"]) == (large, "answer_too_large")
    assert "larger than 1 MiB" in letter["error"]
    assert synced.row(entity, other)["lines_confirmed_at"] is not None
    assert {state.state.value for state in context.breakers().states()} == {"closed"}
    assert synced.queue_depth(entity) == 0


def test_a_page_that_is_too_large_is_read_in_smaller_parts(synced: World, standin: StandIn) -> None:
    standin.sandbox.faults.appoint(Appointment("padded", 0, "/inventory/v1/items", mib=40))
    run = synced.run("product", "full")
    assert (run["state"], run["outcomes"]["created"]) == ("completed", len(standin.ids("items")))
    assert set(synced.mirror("product", "name")) == set(standin.ids("items"))
