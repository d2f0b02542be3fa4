"""Workers that tell of changes are killed at any moment: every event arrives, and each record's in order."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from tds_core.subscriptions import delivery_queue
from tds_core.subscriptions.fan_out import due_subscriptions
from tds_tasks import subscriptions
from tds_tasks.context import scope
from tds_tasks.worker.lease_holder_liveness import dead
from tests.support.change_events import Telling, telling
from tests.support.receiver import Receiver, receiving
from tests.support.world import World

RECORDS, VERSIONS, KILLS, PATIENCE_SECONDS = 15, 8, 12, 120.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def shop(world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Telling]:
    with telling(world, receiver, monkeypatch) as told:
        yield told


def worker() -> int:
    """A worker in a process of its own, which does what dispatcher and worker do until it is killed."""
    pid = os.fork()
    if pid:
        return pid
    while True:
        with scope() as session:
            delivery_queue.expire(session, dead(delivery_queue.holders(session)))
            due, _ = due_subscriptions(session)
        if due:
            subscriptions.deliver_due(budget_seconds=5.0)
        time.sleep(0.01)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_nothing_is_lost_and_no_record_goes_backwards_however_often_workers_are_killed(shop: Telling) -> None:
    shop.subscribe()
    jitter = random.Random(11)

    def answer(_: object) -> int:
        time.sleep(jitter.random() * 0.1)
        return 200 if jitter.random() > 0.1 else 500

    shop.receiver.answer = answer
    records = [f"p{number}" for number in range(RECORDS)]
    written = threading.Event()

    def write() -> None:
        for version in range(1, VERSIONS + 1):
            for some in (records[::2], records[1::2]):
                shop.write(*((record, version) for record in some))
                time.sleep(0.2)
        written.set()

    writer = threading.Thread(target=write)
    writer.start()
    wanted, pids = {record: list(range(1, VERSIONS + 1)) for record in records}, [worker(), worker()]
    until = time.monotonic() + PATIENCE_SECONDS
    try:
        for number in range(KILLS):
            time.sleep(0.1 + jitter.random() * 0.5)
            kill(pids[number % 2])
            shop.make_due()
            pids[number % 2] = worker()
        while time.monotonic() < until and not (written.is_set() and shop.receiver.versions() == wanted):
            shop.make_due()
            time.sleep(0.2)
    finally:
        writer.join()
        for pid in pids:
            kill(pid)
    assert shop.receiver.versions() == wanted
    assert len(shop.receiver.got) > RECORDS * VERSIONS, "some were sent again"
    ids = {(each.record, each.version): each.id for each in shop.receiver.got}
    assert all(ids[each.record, each.version] == each.id for each in shop.receiver.got)


def test_an_event_in_a_dead_workers_hands_waits_for_its_lease_where_nobody_sees_it_died(shop: Telling) -> None:
    shop.subscribe()
    shop.write(("p", 1))
    pid = os.fork()
    if pid == 0:
        shop.receiver.answer = lambda _: 200
        subscriptions._turn([], 10)  # takes it in hand, and dies
        os._exit(0)
    os.waitpid(pid, 0)
    assert shop.deliver() == 0
    with scope() as session:
        assert dead(delivery_queue.holders(session)) != []
    shop.world.execute("update tds_outbound_lanes set next_attempt_at = now()")  # as if the lease had run out
    assert shop.deliver() == 1
    assert shop.receiver.taken() == [("p", 1)]


def test_a_worker_whose_lease_was_lost_changes_nothing_any_more(shop: Telling) -> None:
    shop.subscribe()
    shop.write(("p", 1), ("p", 2))
    [delivery], _ = subscriptions._turn([], 10)
    shop.world.execute("update tds_outbound_lanes set next_attempt_at = now()")
    [other], _ = subscriptions._turn([], 10)
    late = subscriptions.DeliveryResult(delivery.claimed, subscriptions.ReceiverResponse(200, 0.1))
    subscriptions._turn([late], 0)
    assert shop.world.one("select version, lease_token from tds_outbound_lanes") == {
        "version": 1, "lease_token": other.claimed.token,
    }  # fmt: skip
    subscriptions._turn([subscriptions.DeliveryResult(other.claimed, subscriptions.ReceiverResponse(200, 0.1))], 0)
    assert shop.world.value("select version from tds_outbound_lanes") == 2


def test_a_message_that_was_lost_costs_a_moment(shop: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.subscribe()
    shop.write(("p", 1))
    shop.world.nudged.clear()  # as when Redis was wiped
    with scope() as session:
        assert due_subscriptions(session) == (1, 0)
    shop.deliver()
    with scope() as session:
        assert due_subscriptions(session) == (0, 0)
