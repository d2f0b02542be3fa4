"""The inbox promises: one event for one content, one work item for one record, also when all come at once."""

import dataclasses
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import event, text

from tds_core.inbox import receive
from tds_models.db import session_scope
from tests.support.world import World, delivery, invoice, product

ID = "460000000000001"


def at_once(count: int, do: Callable[[int], Any]) -> list[Any]:
    """Run `do(0)`, `do(1)`, … in threads that start together."""
    barrier = Barrier(count)

    def go(number: int) -> Any:
        barrier.wait()
        return do(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(go, range(count)))


def test_an_event_and_its_work_item_are_made_together(world: World) -> None:
    [receipt] = world.deliver(delivery("product", product()))
    event_row = world.one("select * from tds_inbox_events")
    item = world.one("select * from tds_sync_queue")
    assert (event_row["id"], event_row["verdict"], receipt.duplicate) == (receipt.event_id, None, False)
    assert event_row["generation"] == item["generation"]
    assert (item["source_id"], item["priority"], item["must_read"]) == (ID, 5, False)


def test_a_burst_is_one_statement(world: World) -> None:
    world.deliver(delivery("product", product("first", second=1)))
    statements: list[str] = []
    event.listen(world.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    receipts = world.deliver(*(delivery("product", product(str(n))) for n in range(100)))
    assert len(receipts) == len({receipt.event_id for receipt in receipts}) == 100
    assert len([each for each in statements if not each.startswith("prepare")]) == 1
    assert world.queue_depth() == 101


def test_answers_stand_in_the_order_of_the_deliveries(world: World) -> None:
    deliveries = [delivery("product", product(str(n))) for n in random.Random(3).sample(range(1000), 50)]
    receipts = world.deliver(*deliveries)
    kept = {row["id"]: row["source_id"] for row in world.rows("select id, source_id from tds_inbox_events")}
    assert [kept[receipt.event_id] for receipt in receipts] == [each.source_id for each in deliveries]


def test_the_same_content_in_one_burst_is_one_event_and_counted(world: World) -> None:
    same = delivery("product", product())
    receipts = world.deliver(same, same, same)
    assert [receipt.duplicate for receipt in receipts] == [False, True, True]
    assert len({receipt.event_id for receipt in receipts}) == 1
    assert world.value("select duplicate_count from tds_inbox_fingerprints") == 2
    assert world.verdicts() == [None]


def test_the_same_content_in_a_later_burst_is_the_first_event_and_counted(world: World) -> None:
    same = delivery("product", product())
    [first] = world.deliver(same)
    again = world.deliver(same, delivery("product", product(second=2)), same)
    assert [(receipt.event_id == first.event_id, receipt.duplicate) for receipt in again] == [
        (True, True),
        (False, False),
        (True, True),
    ]
    assert world.value("select max(duplicate_count) from tds_inbox_fingerprints") == 2


def test_a_duplicate_raises_no_generation(world: World) -> None:
    world.deliver(delivery("product", product()))
    before = world.value("select generation from tds_sync_queue")
    world.deliver(delivery("product", product()))
    assert world.value("select generation from tds_sync_queue") == before


def test_a_body_without_a_time_owes_a_reading_each_time_though_it_is_one_event(world: World) -> None:
    timeless = dataclasses.replace(delivery("product", product(), complete=False), source_modified_at=None)
    [first] = world.deliver(timeless)
    world.execute("delete from tds_sync_queue")  # it was read, and changed again since
    [again] = world.deliver(timeless)
    assert (again.event_id, again.duplicate) == (first.event_id, True)
    assert world.one("select source_id, must_read from tds_sync_queue") == {"source_id": ID, "must_read": True}
    assert len(world.verdicts()) == 1


def test_outside_the_window_the_same_content_is_a_new_event(world: World) -> None:
    [first] = world.deliver(delivery("product", product()))
    world.execute("update tds_inbox_fingerprints set seen_at = now() - interval '11 minutes'")
    [second] = world.deliver(delivery("product", product()))
    assert (second.event_id > first.event_id, second.duplicate) == (True, False)
    assert world.deliver(delivery("product", product()))[0].event_id == second.event_id
    assert world.queue_depth() == 1
    assert len(world.verdicts()) == 2


def test_the_same_content_sent_by_ten_at_once_is_one_event(world: World) -> None:
    same = delivery("product", product())
    receipts = [receipt for [receipt] in at_once(10, lambda _: world.deliver(same))]
    assert len({receipt.event_id for receipt in receipts}) == 1
    assert [receipt.duplicate for receipt in receipts].count(False) == 1
    assert len(world.verdicts()) == 1
    assert world.value("select duplicate_count from tds_inbox_fingerprints") == 9


def test_many_events_for_one_record_at_once_are_one_work_item_of_the_newest_generation(world: World) -> None:
    at_once(10, lambda n: [world.deliver(delivery("product", product(second=10 * n + k))) for k in range(10)])
    generations = [row["generation"] for row in world.rows("select generation from tds_inbox_events")]
    assert len(generations) == len(set(generations)) == 100
    assert world.one("select generation from tds_sync_queue")["generation"] == max(generations)


def test_bursts_in_opposite_orders_never_wait_in_a_circle(world: World) -> None:
    records = [str(n) for n in range(40)]

    def send(number: int) -> None:
        for round_number in range(15):
            order = random.Random(number * 100 + round_number).sample(records, len(records))
            some = [delivery("product", product(key, second=round_number, rate=number)) for key in order]
            world.deliver(*some)

    at_once(6, send)
    assert len(world.verdicts()) == 6 * 15 * 40
    assert world.queue_depth() == 40


def test_long_ids_stay_exact(world: World) -> None:
    for source_id in ("9223372036854775807", "9007199254740993", "0012", "99999999999999999999999"):
        world.deliver(delivery("product", product(source_id)))
        assert world.value("select count(*) from tds_sync_queue where source_id = :id", id=source_id) == 1
    stored = delivery("product", {**product("1"), "item_id": 9223372036854775807})
    world.deliver(stored)
    kept = "select count(*) from tds_inbox_events where record->>'item_id' = '9223372036854775807'"
    assert world.value(kept) == 2


def test_entities_do_not_share_work_items(world: World) -> None:
    world.deliver(delivery("product", product("77")), delivery("invoice", invoice("77")))
    items = world.rows("select entity, priority from tds_sync_queue order by priority")
    assert [tuple(item.values()) for item in items] == [("invoice", 2), ("product", 5)]


def test_a_deletion_or_a_part_is_never_taken_for_the_whole(world: World) -> None:
    world.deliver(delivery("product", product("1"), event="deleted"), delivery("product", product("2"), complete=False))
    assert [row["must_read"] for row in world.rows("select must_read from tds_sync_queue")] == [True, True]
    assert world.value("select count(*) from tds_inbox_events where complete") == 0


def test_an_event_brings_a_waiting_item_forward_but_not_past_a_pause_of_its_source(world: World) -> None:
    world.deliver(delivery("product", product("1")), delivery("product", product("2")))
    world.execute("update tds_sync_queue set next_attempt_at = now() + interval '1 hour'")
    world.deliver(delivery("product", product("1", second=5)))
    world.deliver(delivery("product", product("2", second=5), complete=False))
    due = world.rows("select source_id from tds_sync_queue where next_attempt_at <= now()")
    assert [row["source_id"] for row in due] == ["1"]


def test_nothing_is_kept_when_the_transaction_is_not_committed(world: World) -> None:
    def interrupted() -> None:
        with session_scope(world.engine) as session:
            receive.receive(session, [delivery("product", product())], duplicate_window_seconds=600)
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        interrupted()
    counts = "select (select count(*) from tds_inbox_events) + (select count(*) from tds_inbox_fingerprints)"
    assert world.value(counts) == world.queue_depth() == 0


def test_an_empty_burst_is_nothing(world: World) -> None:
    assert world.deliver() == []


def test_what_was_signed_but_not_understood_is_kept_with_its_reason(world: World) -> None:
    with session_scope(world.engine) as session:
        event_id = receive.quarantine(
            session, source="zoho", entity=None, event=None, raw=b"\x00\xff", reason="not JSON", correlation_id="c"
        )
        kept = session.execute(text("select id, verdict, raw, verdict_reason from tds_inbox_events")).one()
    assert (kept.id, kept.verdict, bytes(kept.raw), kept.verdict_reason) == (event_id, "quarantined", b"\x00\xff", "not JSON")  # fmt: skip  # noqa: E501
