"""Waiting for an answer: everybody is woken, whoever gave up in between."""

import threading
import time

import pytest

from tds_api.waiting import Waiter, answer_each
from tds_core.sync.inbox import Delivery, Receipt


def waiters(count: int) -> list[Waiter]:
    delivery = Delivery(
        source="zoho", entity="product", event="updated", source_id="1", source_modified_at=None, record=b"{}",
        complete=False, fingerprint=b"", correlation_id="c",
    )  # fmt: skip
    return [Waiter(delivery) for _ in range(count)]


@pytest.mark.parametrize("patience", [lambda n: 5.0, lambda n: 0.0 if n % 3 else 5.0, lambda n: 0.02])
def test_everybody_who_still_waits_is_woken(patience) -> None:
    for _ in range(20):
        burst = waiters(30)
        answered: dict[int, bool] = {}

        def wait(n: int, burst=burst, answered=answered) -> None:
            answered[n] = burst[n].wait(patience(n))

        threads = [threading.Thread(target=wait, args=(n,)) for n in range(30)]
        for thread in threads:
            thread.start()
        time.sleep(0.018)  # some give up at the very moment the others are woken
        for waiter in burst:
            waiter.answer = Receipt(1, False)
        answer_each(burst)
        for thread in threads:
            thread.join(2)
        assert len(answered) == 30, "somebody was never woken"
        assert all(answered[n] for n in range(30) if patience(n) == 5.0)


def test_who_comes_late_to_a_given_answer_does_not_wait() -> None:
    (waiter,) = waiters(1)
    answer_each([waiter])
    assert waiter.wait(0.0)
