"""Slots, shares of bulk work and nudges follow the workers that live, whatever the settings start."""

import pytest

from tds_core.breakers.registry import Breakers
from tds_core.worker_slots import Capacity, WorkerSlots, living_workers
from tds_models.db import session_scope
from tds_tasks import context, dispatcher, work_batches
from tds_tasks.breaker_wakeup import BreakerWakeup
from tds_tasks.dispatcher import Dispatcher
from tests.support.worker_reports import scope_of, tell
from tests.support.world import ScriptedSource, World


def living(world: World) -> Capacity:
    with session_scope(world.engine) as session:
        return living_workers(session)


def test_workers_count_that_report_and_consume_and_no_others(world: World) -> None:
    assert living(world) == Capacity(0, 0)
    for number in range(6):
        tell(world, f"far:{number}:elsewher", slot_count=number + 1)
    assert living(world) == Capacity(6, 21)
    for column, number in (("deaf_at", 0), ("ended_at", 1)):
        world.execute(f"update tds_listeners set {column} = now() where process = 'far:{number}:elsewher'")
    world.execute("update tds_listeners set alive_at = now() - interval '20 seconds' where process = 'far:2:elsewher'")
    assert living(world) == Capacity(3, 15)
    tell(world, "far:2:elsewher", slot_count=3)  # it was only slow
    assert living(world) == Capacity(4, 18)


def test_a_worker_that_takes_over_a_process_id_counts_once(world: World) -> None:
    tell(world, "far:1:elsewher", slot_count=2)
    tell(world, "far:1:elsewher", slot_count=4, born=99.0)
    assert living(world) == Capacity(1, 4)


def dispatcher_of(world: World) -> Dispatcher:
    waker = BreakerWakeup(Breakers(), calls_per_minute=lambda: 0, look_seconds=0.5)
    return Dispatcher(waker, slots=WorkerSlots(scope_of(world)).count, claim_size=lambda: 10)


@pytest.mark.parametrize(("worker_count", "nudge_count"), [(0, 1), (1, 2), (2, 4), (4, 8), (8, 16)])
def test_as_many_nudges_are_sent_as_living_workers_have_slots(
    world: World, worker_count: int, nudge_count: int
) -> None:
    for number in range(worker_count):
        tell(world, f"far:{number}:elsewher", slot_count=2)
    world.enqueue("product", *(str(n) for n in range(300)))
    world.execute("update tds_sync_queue set next_attempt_at = now() - interval '1 second'")
    world.nudged.clear()
    with world.engine.connect() as connection:
        dispatcher_of(world).look(connection)
    assert world.nudged == ["tds.sync.product"] * nudge_count


def test_more_runs_are_told_of_while_more_workers_live(world: World) -> None:
    entities = ("product", "customer", "vendor", "invoice", "bill", "sales_order")
    for entity in entities:
        world.request_run(entity, "full")
    for number in range(5):
        tell(world, f"far:{number}:elsewher", slot_count=2)
    world.nudged.clear()
    with world.engine.connect() as connection:
        dispatcher_of(world).look(connection)
    assert world.nudged == ["tds.run.advance"] * 5
    assert [dispatcher.runs_at_once(slots) for slots in (0, 1, 4, 6, 64)] == [2, 2, 2, 3, 32]


def test_bulk_reading_takes_all_slots_of_living_workers_but_one(
    world: World, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    claims = work_batches.queue_claim.claim

    def claim(*given: object, **named: object) -> object:
        asked.append(named["bulk_workers"])
        return claims(*given, **named)

    monkeypatch.setattr(work_batches.queue_claim, "claim", claim)
    work_batches.sync_batch("product")
    for number in range(8):
        tell(world, f"far:{number}:elsewher", slot_count=2)
    context._worker_slots.cache_clear()
    work_batches.sync_batch("product")
    assert asked == [context.settings().worker_concurrency - 1, 15]
