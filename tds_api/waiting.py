"""Requests that wait for their delivery to be durable, and how they are woken: tasks of an event loop, and threads."""

import asyncio
import threading
from collections.abc import Iterable
from contextlib import suppress

from tds_core.sync.inbox import Delivery, Receipt


class Waiter:
    """One request. Made inside an event loop its task waits, elsewhere its thread."""

    __slots__ = ("_event", "_future", "_loop", "answer", "delivery", "is_gone")

    def __init__(self, delivery: Delivery, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.delivery = delivery
        self.answer: Receipt | Exception | None = None
        #: Whether the request has been answered already: nobody is told what becomes of its delivery.
        self.is_gone = False
        self._loop = loop
        self._future: asyncio.Future[bool] | None = loop.create_future() if loop else None
        self._event = None if loop else threading.Event()

    def wait(self, seconds: float) -> bool:
        """Whether the answer came within `seconds`; for threads."""
        assert self._event is not None  # noqa: S101 (made without a loop)
        is_answered = self._event.wait(seconds)
        self.is_gone = not is_answered
        return is_answered

    async def come(self, seconds: float) -> bool:
        """Whether the answer came within `seconds`; for tasks."""
        assert self._future is not None and self._loop is not None  # noqa: S101 (made with a loop)
        patience = self._loop.call_later(seconds, _resolve, self._future, False)
        try:
            is_answered = await self._future
        finally:
            patience.cancel()
        self.is_gone = not is_answered
        return is_answered


def answer_each(waiters: Iterable[Waiter]) -> None:
    """Wake those whose answer is set. All tasks of a loop are woken by one call, whatever their number."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[bool]]] = {}
    for waiter in waiters:
        if waiter._event is not None:
            waiter._event.set()
        elif waiter._loop is not None and waiter._future is not None:
            by_loop.setdefault(waiter._loop, []).append(waiter._future)
    for loop, futures in by_loop.items():
        with suppress(RuntimeError):  # the loop ended: nobody waits in it
            loop.call_soon_threadsafe(_resolve_each, futures)


def _resolve_each(futures: Iterable["asyncio.Future[bool]"]) -> None:
    for future in futures:
        _resolve(future, True)


def _resolve(future: "asyncio.Future[bool]", is_answered: bool) -> None:
    if not future.done():
        future.set_result(is_answered)
