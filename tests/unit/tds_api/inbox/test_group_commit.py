"""Waiting for an answer: everybody is woken, thread or task, whoever gave up in between."""

import asyncio
import threading
import time

import pytest

from tds_api.inbox.group_commit import PendingReply, wake
from tds_core.inbox.receive import Delivery, Receipt

DELIVERY = Delivery(
    source="zoho", entity="product", event="updated", source_id="1", source_modified_at=None, record=b"{}",
    complete=False, fingerprint=b"", correlation_id="c",
)  # fmt: skip
RECEIPT = Receipt(1, False)


def settle(replies: list[PendingReply]) -> None:
    for reply in replies:
        reply.result = RECEIPT
    wake(replies)


@pytest.mark.parametrize("patience", [lambda n: 5.0, lambda n: 0.0 if n % 3 else 5.0, lambda n: 0.02])
def test_every_thread_that_still_waits_is_woken(patience) -> None:
    for _ in range(10):
        burst = [PendingReply(DELIVERY) for _ in range(30)]
        answered: dict[int, bool] = {}

        def wait(n: int, burst=burst, answered=answered) -> None:
            answered[n] = burst[n].wait(patience(n))

        threads = [threading.Thread(target=wait, args=(n,)) for n in range(30)]
        for thread in threads:
            thread.start()
        time.sleep(0.018)  # some give up at the very moment the others are woken
        settle(burst)
        for thread in threads:
            thread.join(2)
        assert len(answered) == 30, "somebody was never woken"
        assert all(answered[n] for n in range(30) if patience(n) == 5.0)
        assert all(burst[n].is_abandoned != answered[n] for n in range(30))


@pytest.mark.parametrize("patience", [lambda n: 5.0, lambda n: 0.0 if n % 3 else 5.0, lambda n: 0.02])
def test_every_task_that_still_waits_is_woken(patience) -> None:
    async def burst_of(count: int) -> tuple[list[PendingReply], list[bool]]:
        loop = asyncio.get_running_loop()
        burst = [PendingReply(DELIVERY, loop) for _ in range(count)]
        committer = threading.Timer(0.018, settle, [burst])
        committer.start()
        came = await asyncio.gather(*(reply.wait_async(patience(n)) for n, reply in enumerate(burst)))
        committer.join()
        return burst, came

    for _ in range(10):
        burst, came = asyncio.run(burst_of(30))
        assert all(came[n] for n in range(30) if patience(n) == 5.0)
        assert all(reply.is_abandoned != answered for reply, answered in zip(burst, came, strict=True))


def test_who_comes_late_to_a_given_answer_does_not_wait() -> None:
    reply = PendingReply(DELIVERY)
    settle([reply])
    assert reply.wait(0.0)


def test_a_loop_that_ended_harms_nobody() -> None:
    loop = asyncio.new_event_loop()
    lost = PendingReply(DELIVERY, loop)
    loop.close()
    there = PendingReply(DELIVERY)
    settle([lost, there])
    assert there.wait(0.0)
