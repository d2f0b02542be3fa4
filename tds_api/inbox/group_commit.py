"""The intake: everything that arrives while one burst of webhooks is committed becomes the next burst.

Requests that wait for their delivery to be durable, and how they are woken: tasks of an event loop, and threads.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from time import perf_counter, sleep

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, OperationalError

from tds_api.inbox.writer import InboxWriter
from tds_core.database import is_away, is_contended
from tds_core.errors import TdsError
from tds_core.inbox.receive import Delivery, Receipt
from tds_core.observability.metrics import intake_burst_size, intake_commit_seconds, webhooks
from tds_core.sources.mirrored_organization import OtherOrganizationError
from tds_core.sources.zoho.webhooks.errors import UnstorableError


class PendingReply:
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


def answer_each(waiters: Iterable[PendingReply]) -> None:
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


log = structlog.get_logger(__name__)

LARGEST_BURST = 200
PATIENCE_SECONDS = 5.0
#: Who would wait longer than this is refused at once, so that they hear it while they still listen.
LONGEST_WAIT_SECONDS = 2.0
# Under load a burst waits this long for more to come: a transaction has a price of its own, whatever is in it.
GATHERING_SECONDS = 0.002
BUSY_BURST = 8


class IntakeUnavailableError(TdsError):
    """Nothing was made durable, or nobody knows: the sender must try again."""

    code = "intake_unavailable"
    retriable = True


class IntakeOverloadedError(IntakeUnavailableError):
    """More comes than can be made durable in time: the sender must try again later."""

    code = "intake_overloaded"


class GroupCommit:
    """One committer thread a process. It starts with the first delivery, so also after a server's fork.

    `told` is called with the entities that got new work, after their commit and never in a request. `refusal`: why
    nothing may be stored here at all, if that is so.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        duplicate_window_seconds: float,
        told: Callable[[set[str]], None],
        refusal: Callable[[], OtherOrganizationError | None] = lambda: None,
    ) -> None:
        self._refusal = refusal
        self._recorder = InboxWriter(engine, duplicate_window_seconds=duplicate_window_seconds)
        self._told = told
        self._begin_anew()
        os.register_at_fork(after_in_child=self._forget_parent)

    def _forget_parent(self) -> None:
        """After a fork the committer is not here, and those who wait are the parent's."""
        self._recorder.forget_parent()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._line: SimpleQueue[PendingReply | None] = SimpleQueue()
        self._starting = threading.Lock()
        self._busy = False
        self._pace = Pace()
        self._committer: threading.Thread | None = None

    def take(self, delivery: Delivery) -> Receipt:
        """Return when `delivery` is durable; for threads. Raises as `receive` does."""
        self.admit(self._line.qsize())
        waiter = self._queued(PendingReply(delivery))
        return _receipt(waiter, is_answered=waiter.wait(PATIENCE_SECONDS))

    async def receive(self, delivery: Delivery) -> Receipt:
        """Return when `delivery` is durable; for tasks of an event loop.

        Raises IntakeUnavailableError when the database is away or PATIENCE_SECONDS are over; UnstorableError when the
        database refuses what this delivery holds.
        """
        waiter = self._queued(PendingReply(delivery, asyncio.get_running_loop()))
        return _receipt(waiter, is_answered=await waiter.come(PATIENCE_SECONDS))

    def admit(self, waiting_count: int) -> None:
        """Return if one more can be durable in time behind `waiting_count` others.

        Raises IntakeOverloadedError.
        """
        if waiting_count and self._pace.wait_seconds(waiting_count) > LONGEST_WAIT_SECONDS:
            raise IntakeOverloadedError(
                f"{waiting_count} webhooks wait to be stored: one more would wait {LONGEST_WAIT_SECONDS:g} seconds."
            )

    def _queued(self, waiter: PendingReply) -> PendingReply:
        self._line.put(waiter)
        if self._committer is None:
            self._start()
        return waiter

    def close(self) -> None:
        """Settle what waits, then end the committer and give its connection back."""
        self._line.put(None)
        if self._committer is not None:
            self._committer.join(PATIENCE_SECONDS)

    def _start(self) -> None:
        with self._starting:
            if self._committer is None:
                self._committer = threading.Thread(target=self._commit_for_ever, name="intake", daemon=True)
                self._committer.start()

    def _commit_for_ever(self) -> None:
        failing = False
        while burst := self._next_burst():
            try:
                if refusal := self._refusal():
                    raise refusal
                self._settle(burst)
                failing = False
            except Exception as error:  # whatever it is: these requests get their answer, the next burst its chance
                _answer_all(burst, error)
                webhooks.labels("", "unavailable").inc(len(burst))
                if not failing and not is_away(error):  # once an outage, not once a burst
                    log.error("intake_failed", error=type(error).__name__, waiting_count=len(burst))
                failing = True
            finally:
                self._pace.end(len(burst))
        self._recorder.close()

    def _next_burst(self) -> list[PendingReply]:
        """Everything that waits, at least one delivery; nothing when the intake was closed."""
        burst: list[PendingReply] = []
        while not burst:
            first = self._line.get()
            if first is None:
                return []
            self._pace.begin()
            if self._busy:
                sleep(GATHERING_SECONDS)
            burst = self._gathered(first)
            if not burst:
                self._pace.end(0)
        return burst

    def _gathered(self, first: PendingReply) -> list[PendingReply]:
        """`first` and what waits behind it, but for those who were told already that it was not stored."""
        burst = [first]
        for _ in range(min(self._line.qsize(), LARGEST_BURST - 1)):
            waiter = self._line.get()
            if waiter is None:
                self._line.put(None)  # for the next round
                break
            burst.append(waiter)
        return [waiter for waiter in burst if not waiter.is_gone]

    def _settle(self, burst: Sequence[PendingReply]) -> None:
        started_at = perf_counter()
        try:
            receipts = self._recorder.record([waiter.delivery for waiter in burst])
        except DataError as error:
            self._settle_in_halves(burst, error)
            return
        except OperationalError as error:
            if not is_contended(error):
                raise
            self._settle_without_held(burst, error)
            return
        for waiter, receipt in zip(burst, receipts, strict=True):
            waiter.answer = receipt
        answer_each(burst)
        intake_commit_seconds.observe(perf_counter() - started_at)
        intake_burst_size.observe(len(burst))
        self._busy = len(burst) >= BUSY_BURST
        self._tell(burst)

    def _settle_in_halves(self, burst: Sequence[PendingReply], error: DataError) -> None:
        """One delivery holds what the database refuses: find it, so that only it fails."""
        if len(burst) == 1:
            reason = str(error.orig).strip().partition("\n")[0]
            _answer_all(burst, UnstorableError(f"PostgreSQL cannot keep this record: {reason}."))
            return
        middle = len(burst) // 2
        self._settle(burst[:middle])
        self._settle(burst[middle:])

    def _settle_without_held(self, burst: Sequence[PendingReply], error: OperationalError) -> None:
        """A transaction that does not end holds the work item of some records: only their senders try again."""
        held = self._recorder.held([waiter.delivery for waiter in burst])
        if not held:
            raise error
        _answer_all([waiter for n, waiter in enumerate(burst) if n in held], error)
        if free := [waiter for n, waiter in enumerate(burst) if n not in held]:
            self._settle(free)

    def _tell(self, burst: Sequence[PendingReply]) -> None:
        counts: dict[tuple[str, str], int] = {}
        touched: set[str] = set()
        for waiter in burst:
            entity, receipt = waiter.delivery.entity, waiter.answer
            duplicate = isinstance(receipt, Receipt) and receipt.duplicate
            key = (entity, "duplicate" if duplicate else "accepted")
            counts[key] = counts.get(key, 0) + 1
            if not duplicate:
                touched.add(entity)
        for (entity, result), count in counts.items():
            webhooks.labels(entity, result).inc(count)
        if touched:
            self._told(touched)


class Pace:
    """How fast bursts become durable; written by the committer, read by everybody."""

    def __init__(self) -> None:
        self._began_at: float | None = None
        self._seconds_each = 0.0

    def begin(self) -> None:
        """A burst is being gathered and made durable from now on."""
        self._began_at = perf_counter()

    def end(self, count: int) -> None:
        """It was of `count` deliveries. What a small one costs says little of each in a large one."""
        took = perf_counter() - (self._began_at or perf_counter())
        self._began_at = None
        if not count:
            return
        if count >= BUSY_BURST:
            self._seconds_each = (self._seconds_each + took / count) / 2
        else:
            self._seconds_each = min(self._seconds_each, took)

    def wait_seconds(self, waiting_count: int) -> float:
        """How long one more would wait: for the burst at hand, as long as it took already, and for all before it."""
        began_at = self._began_at
        return (perf_counter() - began_at if began_at else 0.0) + waiting_count * self._seconds_each


def _receipt(waiter: PendingReply, *, is_answered: bool) -> Receipt:
    if not is_answered:
        raise IntakeUnavailableError(f"The webhook could not be stored within {PATIENCE_SECONDS:g} seconds.")
    if isinstance(waiter.answer, Receipt):
        return waiter.answer
    if isinstance(waiter.answer, UnstorableError):
        raise waiter.answer
    if isinstance(waiter.answer, OtherOrganizationError):
        raise IntakeUnavailableError(str(waiter.answer)) from None
    raise IntakeUnavailableError("The database cannot be reached.") from waiter.answer


def _answer_all(burst: Sequence[PendingReply], error: Exception) -> None:
    unanswered = [waiter for waiter in burst if waiter.answer is None]
    for waiter in unanswered:
        waiter.answer = error
    answer_each(unanswered)
