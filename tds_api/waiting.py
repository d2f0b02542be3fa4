"""Requests that wait for their delivery to be durable, and how they are woken."""

import threading
from collections import deque
from collections.abc import Iterable

from tds_core.sync.inbox import Delivery, Receipt

# So many are awake at once. A whole burst woken together would only queue for the interpreter, each thread costing two
# switches instead of one, and the committer would stand behind them all.
WOKEN_TOGETHER = 2


class Waiter:
    """One request. Its lock is held until there is an answer; whoever wakes wakes the next."""

    __slots__ = ("_following", "_gone", "_lock", "answer", "delivery")

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.answer: Receipt | Exception | None = None
        self._following: deque[Waiter] | None = None
        self._gone = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, seconds: float) -> bool:
        """Whether the answer came within `seconds`."""
        answered = self._lock.acquire(timeout=seconds)
        if not answered:
            # First say that nobody is here, then look once more: so either this thread or whoever wakes it goes on.
            self._gone = True
            answered = self._lock.acquire(blocking=False)
        if self._following is not None:
            _wake_next(self._following)
        return answered


def answer_each(waiters: Iterable[Waiter]) -> None:
    """Wake those whose answer is set, a few at a time."""
    each = list(waiters)
    following = deque(each)
    for waiter in each:  # one that just gave up may already take from `following`
        waiter._following = following
    for _ in range(WOKEN_TOGETHER):
        _wake_next(following)


def _wake_next(following: "deque[Waiter]") -> None:
    while following:
        try:
            waiter = following.popleft()
        except IndexError:
            return
        waiter._lock.release()
        if not waiter._gone:
            return
