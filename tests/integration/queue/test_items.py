"""The queue promises: an item is in one pair of hands, nothing asked for is forgotten, nobody is judged by age."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tds_core.processing.lease_recovery import CRASHES_TO_QUARANTINE, recover_expired_leases
from tds_core.queue import claim as queue_claim
from tds_core.queue import items
from tds_core.queue.items import Claim
from tds_models.db import session_scope
from tests.support.world import World, believe_started, delivery, invoice, product


def ids(claim: Claim | None) -> list[str]:
    return [item.source_id for item in claim.items] if claim else []


def expire(world: World) -> Any:
    """Let every lease run out, and take back what silent workers hold, long after the database started."""
    world.execute("update tds_sync_queue set leased_until = now() - interval '1 ms' where lease_token is not null")
    with session_scope(world.engine) as session:
        return recover_expired_leases(session)


def test_many_claimers_never_get_the_same_item(world: World) -> None:
    world.enqueue("product", *(str(n) for n in range(500)))

    def claim_all(_: int) -> list[str]:
        mine: list[str] = []
        while some := ids(world.claim(limit=7)):
            mine += some
        return mine

    with ThreadPoolExecutor(8) as threads:
        claimed = [source_id for mine in threads.map(claim_all, range(8)) for source_id in mine]
    assert len(claimed) == len(set(claimed)) == 500


def test_what_is_claimed_or_not_yet_due_is_nobody_elses(world: World) -> None:
    world.enqueue("product", "1", "2")
    world.execute("update tds_sync_queue set next_attempt_at = now() + interval '1 minute' where source_id = '2'")
    assert ids(world.claim()) == ["1"]
    assert world.claim() is None


def test_a_claim_takes_only_its_entity(world: World) -> None:
    world.enqueue("product", "1")
    assert world.claim("invoice") is None


def test_live_work_goes_before_bulk_and_the_longest_due_first(world: World) -> None:
    world.enqueue("product", "bulk", bulk=True)
    world.enqueue("product", "later")
    world.enqueue("product", "sooner")
    world.execute("update tds_sync_queue set next_attempt_at = now() - interval '1 minute' where source_id = 'sooner'")
    assert [ids(world.claim(limit=1)) for _ in range(3)] == [["sooner"], ["later"], ["bulk"]]


def test_work_that_was_bulk_becomes_urgent_when_somebody_asks_for_it(world: World) -> None:
    world.enqueue("product", "1", bulk=True)
    world.enqueue("product", "1")
    assert world.value("select priority from tds_sync_queue") == 5
    world.enqueue("product", "1", bulk=True)
    assert world.value("select priority from tds_sync_queue") == 5


def test_a_finished_item_leaves_the_queue(world: World) -> None:
    world.enqueue("product", "1")
    finish(world, world.claim())
    assert world.queue_depth() == 0


def finish(world: World, claim: Claim | None) -> None:
    assert claim is not None
    with session_scope(world.engine) as session:
        items.finish(session, claim, items.fence(session, claim, claim.items))


def test_an_item_asked_for_again_during_the_work_goes_round_with_fresh_attempts(world: World) -> None:
    world.enqueue("product", "1")
    claim = world.claim()
    world.deliver(delivery("product", product("1")))
    finish(world, claim)
    item = world.one("select * from tds_sync_queue")
    assert (item["lease_token"], item["attempts"]) == (None, 0)
    assert ids(world.claim()) == ["1"]


def test_finishing_one_item_leaves_the_others_of_the_claim_alone(world: World) -> None:
    world.enqueue("product", "1", "2")
    claim = world.claim()
    assert claim is not None
    with session_scope(world.engine) as session:
        items.finish(session, claim, claim.items[:1])
    assert [row["source_id"] for row in world.rows("select source_id from tds_sync_queue")] == ["2"]


def test_a_worker_that_lost_its_lease_can_finish_or_put_back_nothing(world: World) -> None:
    world.enqueue("product", "1")
    lost = world.claim()
    assert lost is not None
    expire(world)
    current = world.claim()
    assert current is not None
    with session_scope(world.engine) as session:
        assert items.fence(session, lost, lost.items) == []
        items.finish(session, lost, lost.items)
        row = {
            "id": lost.items[0].id,
            "delay": 9.0,
            "uncounted": 0,
            "failed": False,
            "must_read": True,
            "error": "late",
        }
        items.put_back(session, lost, [row])
        assert items.heartbeat(session, token=lost.token, lease_seconds=60) == 0
    item = world.one("select * from tds_sync_queue")
    assert (item["lease_token"], item["last_error"]) == (current.token, "the worker stopped without a word")


def test_a_heartbeat_keeps_a_lease_alive(world: World) -> None:
    world.enqueue("product", "1")
    claim = world.claim(lease_seconds=0.01)
    assert claim is not None
    with session_scope(world.engine) as session:
        assert items.heartbeat(session, token=claim.token, lease_seconds=60) == 1
    with session_scope(world.engine) as session:
        assert recover_expired_leases(session).item_count == 0


def test_a_heartbeat_does_not_wait_for_what_is_being_settled(world: World) -> None:
    world.enqueue("product", "1", "2")
    claim = world.claim()
    assert claim is not None
    with session_scope(world.engine) as settling, session_scope(world.engine) as beating:
        items.fence(settling, claim, claim.items[:1])
        assert items.heartbeat(beating, token=claim.token, lease_seconds=60) == 1


def test_rescue_takes_only_leases_that_ran_out(world: World) -> None:
    world.enqueue("product", "silent")
    world.claim(lease_seconds=0)
    world.enqueue("product", "alive", "free")
    world.claim(limit=1)
    with session_scope(world.engine) as session:
        assert recover_expired_leases(session).item_count == 1
    leased = world.rows("select source_id from tds_sync_queue where lease_token is not null")
    assert [row["source_id"] for row in leased] == ["alive"]
    assert world.value("select outcome from tds_sync_logs") == "crashed"


def test_what_was_in_a_dying_workers_hands_is_claimed_apart_from_all_else(world: World) -> None:
    believe_started(world, "1 day")
    world.enqueue("product", "1", "2")
    world.claim()
    expire(world)
    world.enqueue("product", "3", "4")
    claims = [world.claim(), world.claim()]
    assert [(ids(claim), claim and claim.is_suspect) for claim in claims] == [(["1", "2"], True), (["3", "4"], False)]


def test_what_was_in_a_dying_workers_hands_gets_its_turn_also_when_others_never_end(world: World) -> None:
    believe_started(world, "1 day")
    world.enqueue("product", "suspect")
    world.claim()
    expire(world)
    world.execute("update tds_sync_queue set next_attempt_at = now() - interval '1 minute'")
    claimed = []
    for number in range(10):
        world.enqueue("product", f"other-{number}")
        claimed += ids(world.claim())
    assert "suspect" in claimed


def test_a_record_in_whose_company_machines_die_again_and_again_is_quarantined_with_its_events(world: World) -> None:
    believe_started(world, "1 day")
    world.deliver(delivery("product", product("1")))
    for _ in range(CRASHES_TO_QUARANTINE - 1):
        world.claim()
        assert expire(world).quarantined_count == 0
    world.deliver(delivery("product", product("1", second=3)))
    world.claim()
    assert expire(world).quarantined_count == 1
    letter = world.one("select * from tds_dead_letter_queue")
    assert (letter["error_class"], letter["source_id"], letter["record"]["item_id"]) == ("crashed", "1", "1")
    assert world.verdicts() == ["dead_lettered", "dead_lettered"]
    assert world.queue_depth() == 0


def test_an_outage_of_the_database_is_held_against_no_record(world: World) -> None:
    believe_started(world, "20 seconds")
    world.enqueue("product", "1")
    for _ in range(3):
        world.claim()
        assert expire(world).quarantined_count == 0
    assert world.value("select crashes from tds_sync_queue") == 0


def test_a_snooze_does_not_count_as_an_attempt_and_a_retry_does(world: World) -> None:
    world.enqueue("product", "snoozed", "tried")
    claim = world.claim()
    assert claim is not None
    by_name = {item.source_id: item for item in claim.items}
    rows: list[dict[str, object]] = [
        {
            "id": by_name[name].id,
            "delay": 60.0,
            "uncounted": uncounted,
            "failed": False,
            "must_read": True,
            "error": "x",
        }
        for name, uncounted in (("snoozed", 1), ("tried", 0))
    ]
    with session_scope(world.engine) as session:
        items.put_back(session, claim, rows)
    found = world.rows("select source_id, attempts, snoozes from tds_sync_queue order by source_id")
    assert [tuple(row.values()) for row in found] == [("snoozed", 0, 1), ("tried", 1, 0)]
    assert world.claim() is None


def test_events_and_settlements_of_the_same_records_never_wait_in_a_circle(world: World) -> None:
    """Ids stand in the opposite order of the records' names: whoever locks by id meets whoever locks by record."""
    names = [f"{n:03d}" for n in range(30)]
    for name in reversed(names):
        world.enqueue("product", name, must_read=False)

    def receive(number: int) -> None:
        for second in range(25):
            world.deliver(*(delivery("product", product(n, second=second, rate=number)) for n in names))

    def settle(_: int) -> None:
        for _ in range(50):
            claim = world.claim(limit=30)
            if claim:
                with session_scope(world.engine) as session:
                    held = items.fence(session, claim, claim.items)
                    items.finish(session, claim, held)

    with ThreadPoolExecutor(6) as threads:
        jobs = [threads.submit(receive, n) for n in range(3)] + [threads.submit(settle, n) for n in range(3)]
        for job in jobs:
            job.result()
    assert len(world.verdicts()) == 3 * 25 * 30


def test_documents_are_served_before_products(world: World) -> None:
    world.deliver(delivery("product", product("1")), delivery("invoice", invoice("1")))
    found = world.rows("select entity from tds_sync_queue order by priority")
    assert [row["entity"] for row in found] == ["invoice", "product"]


def test_a_claim_is_all_bulk_or_none_so_that_the_urgent_never_wait_for_bulk(world: World) -> None:
    world.enqueue("product", "b1", "b2", bulk=True)
    world.enqueue("product", "u1")
    urgent, bulk = world.claim(), world.claim()
    assert (ids(urgent), ids(bulk)) == (["u1"], ["b1", "b2"])
    assert urgent is not None
    assert bulk is not None
    assert (urgent.bulk, urgent.drained_queue, bulk.bulk) == (False, False, True)


def test_bulk_work_leaves_a_worker_to_the_urgent(world: World) -> None:
    world.enqueue("invoice", *(str(n) for n in range(70)), bulk=True)
    world.enqueue("invoice", "urgent")
    assert claim_beside(world, 2) == ["urgent"]
    assert len(claim_beside(world, 2)) == len(claim_beside(world, 2)) == 20
    assert claim_beside(world, 2) == []
    assert len(claim_beside(world, 3)) == 20


def claim_beside(world: World, bulk_workers: int) -> list[str]:
    with session_scope(world.engine) as session:
        return ids(
            queue_claim.claim(
                session, entity="invoice", limit=100, lease_seconds=60, worker="test", bulk_workers=bulk_workers
            )
        )


def test_bulk_work_that_becomes_urgent_is_claimed_with_the_urgent(world: World) -> None:
    world.enqueue("product", "1", "2", bulk=True)
    world.enqueue("product", "2")
    assert [ids(world.claim()), ids(world.claim())] == [["2"], ["1"]]
