"""Waking promises: what waits for a closed breaker is due, no faster than the quota; an open one is probed by one."""

from datetime import UTC, datetime, timedelta

import pytest

from tds_core.breakers.breaker import BreakerStatus, breaker_status
from tds_core.breakers.circuit import Circuit, CircuitState
from tds_core.breakers.registry import BreakersAwayError
from tds_models.db import session_scope
from tds_tasks.breaker_wakeup import BreakerWakeup
from tests.support.world import World

INVOICES, ITEMS = "zoho.books.invoices", "zoho.inventory.itemdetails"


class Told:
    """Breakers as a test tells them; `None`: Redis is away."""

    def __init__(self) -> None:
        self.circuits: dict[str, Circuit] | None = {}
        self.hastened: list[str] = []

    def states(self, *, of_all: bool) -> list[BreakerStatus]:
        assert of_all
        if self.circuits is None:
            raise BreakersAwayError("away")
        return [
            breaker_status(name, circuit, is_shared=True, unreported_rejections=0)
            for name, circuit in self.circuits.items()
        ]

    def refuses(self) -> bool:
        return True

    def hasten(self, name: str) -> None:
        self.hastened.append(name)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def waker(told: Told) -> BreakerWakeup:
    return BreakerWakeup(told, calls_per_minute=lambda: 360, look_seconds=0.5)  # type: ignore[arg-type]


def park(world: World, entity: str, count: int, name: str) -> None:
    world.enqueue(entity, *(f"{entity}-{n:03}" for n in range(count)))
    world.execute(
        "update tds_sync_queue set waits_for = :name, next_attempt_at = now() + interval '10 minutes'"
        " where entity = :entity",
        name=name,
        entity=entity,
    )


def look(world: World, waker: BreakerWakeup) -> dict[str, int]:
    """One look. Returns how many items are due, by entity."""
    waker.look(lambda: session_scope(world.engine))
    rows = world.rows(
        "select entity, count(*) from tds_sync_queue where next_attempt_at <= now() and waits_for is null group by 1"
    )
    return {row["entity"]: row["count"] for row in rows}


def circuit(state: CircuitState, probe_in_seconds: float = 0.0, *, changed_seconds_ago: float = 0.0) -> Circuit:
    now = datetime.now(UTC)
    wake_at, changed_at = now + timedelta(seconds=probe_in_seconds), now - timedelta(seconds=changed_seconds_ago)
    return Circuit(state, wake_at_ms=int(wake_at.timestamp() * 1000), changed_at_ms=int(changed_at.timestamp() * 1000))


def test_as_much_is_woken_as_the_quota_lets_by_until_the_next_look(
    world: World, waker: BreakerWakeup, told: Told
) -> None:
    park(world, "invoice", 10, INVOICES)
    park(world, "product", 1000, ITEMS)
    told.circuits = {INVOICES: circuit(CircuitState.CLOSED), ITEMS: circuit(CircuitState.CLOSED)}
    assert look(world, waker) == {"invoice": 3, "product": 300}  # three calls in half a second, a hundred items each
    assert look(world, waker) == {"invoice": 6, "product": 600}


def test_what_failed_before_is_woken_by_twos_among_others(world: World, told: Told) -> None:
    waker = BreakerWakeup(told, calls_per_minute=lambda: 0, look_seconds=0.5)  # type: ignore[arg-type]
    park(world, "invoice", 30, INVOICES)
    world.execute("update tds_sync_queue set failures = 1 where source_id < 'invoice-009'")
    told.circuits = {INVOICES: circuit(CircuitState.CLOSED)}
    assert [look(world, waker)["invoice"] for _ in range(5)] == [23, 25, 27, 29, 30]


def test_what_waits_for_an_open_breaker_sleeps_on(world: World, waker: BreakerWakeup, told: Told) -> None:
    park(world, "invoice", 4, INVOICES)
    told.circuits = {INVOICES: circuit(CircuitState.OPEN, 60), ITEMS: circuit(CircuitState.CLOSED)}
    assert look(world, waker) == {}
    told.circuits = None
    assert look(world, waker) == {}


@pytest.mark.parametrize("state", [CircuitState.OPEN, CircuitState.HALF_OPEN])
def test_a_breaker_that_is_due_to_be_probed_is_probed_by_one(
    world: World, waker: BreakerWakeup, told: Told, state: CircuitState
) -> None:
    park(world, "invoice", 4, INVOICES)
    world.execute("update tds_sync_queue set failures = 3 where source_id <> 'invoice-002'")
    told.circuits = {INVOICES: circuit(state, -1)}
    assert look(world, waker) == {"invoice": 1}
    assert look(world, waker) == {"invoice": 1}
    assert world.value("select source_id from tds_sync_queue where waits_for is null") == "invoice-002"


def test_a_run_goes_first(world: World, waker: BreakerWakeup, told: Told) -> None:
    park(world, "invoice", 2, INVOICES)
    run_id = world.request_run("invoice", "full")
    world.execute(
        "update tds_sync_runs set waits_for = :name, next_attempt_at = now() + interval '1 hour'", name=INVOICES
    )
    told.circuits = {INVOICES: circuit(CircuitState.OPEN, -1)}
    assert look(world, waker) == {}
    run = world.run_row(run_id)
    assert (run["waits_for"], run["next_attempt_at"] <= datetime.now(UTC)) == (None, True)


def test_waking_makes_nothing_wait_longer_and_touches_nothing_leased(
    world: World, waker: BreakerWakeup, told: Told
) -> None:
    park(world, "invoice", 1, INVOICES)
    world.execute("update tds_sync_queue set next_attempt_at = now() - interval '1 hour'")
    told.circuits = {INVOICES: circuit(CircuitState.CLOSED)}
    look(world, waker)
    assert world.value("select next_attempt_at < now() - interval '59 minutes' from tds_sync_queue")


@pytest.mark.parametrize(
    ("closed", "hastened"),
    [
        (("zoho.inventory.itemdetails", 5), [INVOICES]),
        (("zoho.inventory.itemdetails", 15), []),  # it was open since, too: its probe failed after the other had closed
        (("amazon.orders", 5), []),
    ],
)
def test_what_opened_before_another_part_of_its_source_answered_again_is_probed_at_once(
    world: World, waker: BreakerWakeup, told: Told, closed: tuple[str, float], hastened: list[str]
) -> None:
    park(world, "invoice", 4, INVOICES)
    told.circuits = {
        INVOICES: circuit(CircuitState.OPEN, 400, changed_seconds_ago=10),
        closed[0]: circuit(CircuitState.CLOSED, changed_seconds_ago=closed[1]),
    }
    look(world, waker)
    assert told.hastened == hastened
