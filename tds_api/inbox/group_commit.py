"""Group commit of webhooks: all that arrive while one burst is being committed are committed together as the next.

Requests call `GroupCommit.submit` (threads) or `submit_async` (tasks of an event loop) and return when their delivery
is durable. One committer thread a process writes the bursts over a connection of its own.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from time import perf_counter, sleep

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.orm import Session

from tds_api.inbox.acceptance_log import log_accepted
from tds_core.database_errors import is_away, is_contended
from tds_core.errors import TdsError
from tds_core.inbox.receive import Delivery, Receipt, held, receive
from tds_core.observability.metrics import intake_burst_size, intake_commit_seconds, webhooks
from tds_core.sources.mirrored_organization import OtherOrganizationError
from tds_core.sources.zoho.webhooks.errors import UnstorableError

log = structlog.get_logger(__name__)

LARGEST_BURST = 200
PATIENCE_SECONDS = 5.0
#: A delivery that would wait longer is refused at once, so that its sender learns it before giving up.
LONGEST_WAIT_SECONDS = 2.0
# Under load a burst waits this long for more deliveries: a transaction has a fixed cost, whatever is in it.
GATHERING_SECONDS = 0.002
BUSY_BURST = 8


class IntakeUnavailableError(TdsError):
    """The delivery was not made durable, or that is unknown: the sender must try again."""

    code = "intake_unavailable"
    retriable = True


class IntakeOverloadedError(IntakeUnavailableError):
    """More deliveries wait than can be made durable in time: the sender must try again later."""

    code = "intake_overloaded"


class GroupCommit:
    """One committer thread a process. It starts with the first delivery, so also after a server's fork.

    `on_new_work` is called with the entities that got new work, after their commit and never in a request's thread.
    `refusal` returns why no webhook at all may be stored here, or None. `duplicate_window_seconds` is asked each burst.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        duplicate_window_seconds: Callable[[], float],
        on_new_work: Callable[[set[str]], None],
        refusal: Callable[[], OtherOrganizationError | None] = lambda: None,
    ) -> None:
        self._refusal = refusal
        self._writer = InboxWriter(engine, duplicate_window_seconds=duplicate_window_seconds)
        self._on_new_work = on_new_work
        self._reset()
        os.register_at_fork(after_in_child=self._forget_parent)

    def _forget_parent(self) -> None:
        """After a fork this process has no committer, and the waiting requests are the parent's."""
        self._writer.forget_parent()
        self._reset()

    def _reset(self) -> None:
        self._queue: SimpleQueue[PendingReply | None] = SimpleQueue()
        self._start_lock = threading.Lock()
        self._is_busy = False
        self._pace = Pace()
        self._committer: threading.Thread | None = None

    def admit(self, waiting_count: int) -> None:
        """Return if one more can be durable in time behind `waiting_count` others.

        Raises IntakeOverloadedError.
        """
        if waiting_count and self._pace.wait_seconds(waiting_count) > LONGEST_WAIT_SECONDS:
            raise IntakeOverloadedError(
                f"{waiting_count} webhooks wait to be stored: one more would wait {LONGEST_WAIT_SECONDS:g} seconds."
            )

    async def submit_async(self, delivery: Delivery) -> Receipt:
        """Return when `delivery` is durable; for tasks of an event loop, which call `admit` before.

        Raises IntakeUnavailableError when the database is away or PATIENCE_SECONDS are over; UnstorableError when the
        database refuses what this delivery holds.
        """
        reply = self._enqueue(PendingReply(delivery, asyncio.get_running_loop()))
        return _receipt(reply, has_result=await reply.wait_async(PATIENCE_SECONDS))

    def submit(self, delivery: Delivery) -> Receipt:
        """Return when `delivery` is durable; for threads. Raises what `admit` and `submit_async` raise."""
        self.admit(self._queue.qsize())
        reply = self._enqueue(PendingReply(delivery))
        return _receipt(reply, has_result=reply.wait(PATIENCE_SECONDS))

    def close(self) -> None:
        """Commit what waits, then end the committer and close its connection."""
        self._queue.put(None)
        if self._committer is not None:
            self._committer.join(PATIENCE_SECONDS)

    def _enqueue(self, reply: "PendingReply") -> "PendingReply":
        self._queue.put(reply)
        if self._committer is None:
            self._start()
        return reply

    def _start(self) -> None:
        with self._start_lock:
            if self._committer is None:
                self._committer = threading.Thread(target=self._run, name="intake", daemon=True)
                self._committer.start()

    def _run(self) -> None:
        is_failing = False
        while burst := self._next_burst():
            try:
                if refusal := self._refusal():
                    raise refusal
                self._commit(burst)
                is_failing = False
            except Exception as error:  # whatever it is: these requests get their answer, the next burst its chance
                _fail(burst, error)
                webhooks.labels("", "unavailable").inc(len(burst))
                if not is_failing and not is_away(error):  # once an outage, not once a burst
                    log.error("intake_failed", error=type(error).__name__, waiting_count=len(burst))
                is_failing = True
            finally:
                self._pace.end(len(burst))
        self._writer.close()

    def _next_burst(self) -> list["PendingReply"]:
        """Everything that waits, at least one delivery; empty after `close`."""
        burst: list[PendingReply] = []
        while not burst:
            first = self._queue.get()
            if first is None:
                return []
            self._pace.begin()
            if self._is_busy:
                sleep(GATHERING_SECONDS)
            burst = self._gather(first)
            if not burst:
                self._pace.end(0)
        return burst

    def _gather(self, first: "PendingReply") -> list["PendingReply"]:
        """`first` and what waits behind it, without the requests that were answered "not stored" in the meantime."""
        burst = [first]
        for _ in range(min(self._queue.qsize(), LARGEST_BURST - 1)):
            reply = self._queue.get()
            if reply is None:
                self._queue.put(None)  # for the next round
                break
            burst.append(reply)
        return [reply for reply in burst if not reply.is_abandoned]

    def _commit(self, burst: Sequence["PendingReply"]) -> None:
        started_at = perf_counter()
        try:
            receipts = self._writer.write([reply.delivery for reply in burst])
        except DataError as error:
            self._commit_in_halves(burst, error)
            return
        except OperationalError as error:
            if not is_contended(error):
                raise
            self._commit_without_locked(burst, error)
            return
        for reply, receipt in zip(burst, receipts, strict=True):
            reply.result = receipt
        wake(burst)
        intake_commit_seconds.observe(perf_counter() - started_at)
        intake_burst_size.observe(len(burst))
        self._is_busy = len(burst) >= BUSY_BURST
        self._announce(burst)

    def _commit_in_halves(self, burst: Sequence["PendingReply"], error: DataError) -> None:
        """Find the one delivery whose content the database refuses, so that only it fails."""
        if len(burst) == 1:
            reason = str(error.orig).strip().partition("\n")[0]
            _fail(burst, UnstorableError(f"PostgreSQL cannot keep this record: {reason}."))
            return
        middle = len(burst) // 2
        self._commit(burst[:middle])
        self._commit(burst[middle:])

    def _commit_without_locked(self, burst: Sequence["PendingReply"], error: OperationalError) -> None:
        """A transaction that does not end locks the work items of some records: only their senders try again."""
        locked = self._writer.locked_positions([reply.delivery for reply in burst])
        if not locked:
            raise error
        _fail([reply for n, reply in enumerate(burst) if n in locked], error)
        if free := [reply for n, reply in enumerate(burst) if n not in locked]:
            self._commit(free)

    def _announce(self, burst: Sequence["PendingReply"]) -> None:
        """Count the burst, and nudge the workers of entities with new work."""
        counts: dict[tuple[str, str], int] = {}
        entities: set[str] = set()
        for reply in burst:
            entity, receipt = reply.delivery.entity, reply.result
            duplicate = isinstance(receipt, Receipt) and receipt.duplicate
            key = (entity, "duplicate" if duplicate else "accepted")
            counts[key] = counts.get(key, 0) + 1
            if not duplicate:
                entities.add(entity)
        for (entity, result), count in counts.items():
            webhooks.labels(entity, result).inc(count)
        log_accepted([(each.delivery, each.result) for each in burst if isinstance(each.result, Receipt)])
        if entities:
            self._on_new_work(entities)


class PendingReply:
    """A request that waits for its delivery to be durable: its task if made inside an event loop, else its thread."""

    __slots__ = ("_event", "_future", "_loop", "delivery", "is_abandoned", "result")

    def __init__(self, delivery: Delivery, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.delivery = delivery
        self.result: Receipt | Exception | None = None
        #: Whether the request was answered "not stored" because the wait was too long.
        self.is_abandoned = False
        self._loop = loop
        self._future: asyncio.Future[bool] | None = loop.create_future() if loop else None
        self._event = None if loop else threading.Event()

    def wait(self, seconds: float) -> bool:
        """Whether the result came within `seconds`; for threads."""
        assert self._event is not None  # noqa: S101 (made without a loop)
        has_result = self._event.wait(seconds)
        self.is_abandoned = not has_result
        return has_result

    async def wait_async(self, seconds: float) -> bool:
        """Whether the result came within `seconds`; for tasks."""
        assert self._future is not None and self._loop is not None  # noqa: S101 (made with a loop)
        timeout = self._loop.call_later(seconds, _resolve, self._future, False)
        try:
            has_result = await self._future
        finally:
            timeout.cancel()
        self.is_abandoned = not has_result
        return has_result


def wake(replies: Iterable[PendingReply]) -> None:
    """Wake the requests whose result is set. All tasks of a loop are woken by one call, whatever their number."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[bool]]] = {}
    for reply in replies:
        if reply._event is not None:
            reply._event.set()
        elif reply._loop is not None and reply._future is not None:
            by_loop.setdefault(reply._loop, []).append(reply._future)
    for loop, futures in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed: no task waits in it
            loop.call_soon_threadsafe(_resolve_each, futures)


def _resolve_each(futures: Iterable["asyncio.Future[bool]"]) -> None:
    for future in futures:
        _resolve(future, True)


def _resolve(future: "asyncio.Future[bool]", has_result: bool) -> None:
    if not future.done():
        future.set_result(has_result)


def _fail(burst: Sequence[PendingReply], error: Exception) -> None:
    unanswered = [reply for reply in burst if reply.result is None]
    for reply in unanswered:
        reply.result = error
    wake(unanswered)


def _receipt(reply: PendingReply, *, has_result: bool) -> Receipt:
    if not has_result:
        raise IntakeUnavailableError(f"The webhook could not be stored within {PATIENCE_SECONDS:g} seconds.")
    if isinstance(reply.result, Receipt):
        return reply.result
    if isinstance(reply.result, UnstorableError):
        raise reply.result
    if isinstance(reply.result, OtherOrganizationError):
        raise IntakeUnavailableError(str(reply.result)) from None
    raise IntakeUnavailableError("The database cannot be reached.") from reply.result


class Pace:
    """How fast bursts become durable; written by the committer, read by every request."""

    def __init__(self) -> None:
        self._began_at: float | None = None
        self._seconds_each = 0.0

    def begin(self) -> None:
        """A burst is being gathered and made durable from now on."""
        self._began_at = perf_counter()

    def end(self, count: int) -> None:
        """The burst of `count` deliveries is durable. Only a large one tells the cost of each in a large one."""
        seconds = perf_counter() - (self._began_at or perf_counter())
        self._began_at = None
        if not count:
            return
        if count >= BUSY_BURST:
            self._seconds_each = (self._seconds_each + seconds / count) / 2
        else:
            self._seconds_each = min(self._seconds_each, seconds)

    def wait_seconds(self, waiting_count: int) -> float:
        """How long one more would wait: as long as the current burst took so far, and for all before it."""
        began_at = self._began_at
        return (perf_counter() - began_at if began_at else 0.0) + waiting_count * self._seconds_each


class InboxWriter:
    """The committer's own connection, kept open. Statements commit by themselves: durable when they return.

    Every step that releases the interpreter lets a crowd of requests run first, so a burst has one such step: no ping,
    no BEGIN and no COMMIT of their own.
    """

    def __init__(self, engine: Engine, *, duplicate_window_seconds: Callable[[], float]) -> None:
        self._engine = engine
        self._window_seconds = duplicate_window_seconds
        self._connection: Connection | None = None
        self._session: Session | None = None

    def write(self, deliveries: Sequence[Delivery]) -> list[Receipt]:
        """Make `deliveries` durable; raises what the database raises.

        A connection that died since the last burst is replaced once. If the statement was committed before it died, the
        second one finds its events, and the senders are answered "duplicate".
        """
        had_session = self._session is not None
        try:
            return self._receive(deliveries)
        except Exception as error:
            if not (had_session and getattr(error, "connection_invalidated", False)):
                raise
        return self._receive(deliveries)

    def locked_positions(self, deliveries: Sequence[Delivery]) -> set[int]:
        """Positions of the deliveries whose work item another transaction has locked; see `inbox.receive.held`."""
        return held(self._open(), deliveries)

    def close(self) -> None:
        """Close the connection."""
        self._end_session()
        self._engine.dispose()

    def forget_parent(self) -> None:
        """After a fork: the connection is the parent's, so it is not even closed."""
        self._inherited = (self._session, self._connection)
        self._session = self._connection = None
        self._engine.dispose(close=False)

    def _receive(self, deliveries: Sequence[Delivery]) -> list[Receipt]:
        session = self._open()
        try:
            return receive(session, deliveries, duplicate_window_seconds=self._window_seconds())
        except Exception:
            self._end_session()
            raise

    def _open(self) -> Session:
        if self._session is None:
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._session = Session(self._connection)
        return self._session

    def _end_session(self) -> None:
        session, connection = self._session, self._connection
        self._session = self._connection = None
        if session is not None and connection is not None:
            session.close()
            connection.close()
