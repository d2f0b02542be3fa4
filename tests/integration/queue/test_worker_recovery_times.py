"""Recovery times of a chaos run: what a dead worker held counts until another claims it; what it put off does not."""

import time

from tds_core.processing.lease_recovery import recover_expired_leases
from tds_core.queue import claim as queue_claim
from tds_core.queue import items
from tds_lab.chaos.worker_recovery_times import Orphans
from tds_models.db import session_scope
from tests.acceptance.workers import wait_for
from tests.support.world import World


def test_orphans_wait_until_they_are_claimed_and_deferred_items_are_no_orphans(world: World) -> None:
    world.enqueue("product", "1", "2")
    first, second = world.claim(limit=1), world.claim(limit=1)
    assert first and second
    orphans = Orphans(world.engine)
    held = {claim.items[0].id: claim.token for claim in (first, second)}
    with session_scope(world.engine) as session:
        items.release(session, second, delay_seconds=30)
    orphans.watch(held)
    assert wait_for(lambda: orphans.so_far().released_count == 1, 10)
    world.execute("update tds_sync_queue set leased_until = now() - interval '1 ms' where lease_token is not null")
    with session_scope(world.engine) as session:
        recover_expired_leases(session)
    time.sleep(0.3)
    assert (orphans.so_far().seconds, orphans.so_far().left_count) == ([], 1)
    assert world.claim(limit=1)
    assert wait_for(lambda: orphans.so_far().left_count == 0, 10)
    orphans.close()
    [seconds] = orphans.so_far().seconds
    assert 0.3 < seconds < 30
    assert orphans.so_far().figures() | {"p50": 0, "p99": 0, "longest": 0} == {
        "p50": 0, "p99": 0, "longest": 0, "count": 1, "left": 0, "released": 1,
    }  # fmt: skip


def test_an_orphan_that_was_claimed_and_put_off_between_two_looks_is_recovered(world: World) -> None:
    world.enqueue("product", "1")
    dead = world.claim(limit=1)
    assert dead
    orphans = Orphans(world.engine)
    orphans.watch({dead.items[0].id: dead.token})
    world.execute("update tds_sync_queue set leased_until = now() - interval '1 ms' where lease_token is not null")
    with session_scope(world.engine) as session:
        recover_expired_leases(session)
    time.sleep(0.3)
    assert orphans.so_far().left_count == 1
    with session_scope(world.engine) as session:  # one transaction: no look sees the lease
        claim = queue_claim.claim(session, entity="product", limit=1, lease_seconds=60, worker="another")
        assert claim
        items.release(session, claim, delay_seconds=30)
    assert wait_for(lambda: orphans.so_far().left_count == 0, 10)
    orphans.close()
    assert (len(orphans.so_far().seconds), orphans.so_far().released_count) == (1, 0)
