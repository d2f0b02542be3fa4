"""The task `tds.run.advance`: reads a run's pages, each committed with its cursor, for a slice of time.

Working ahead: an iterator that runs in a thread of its own, so that its next item is ready when it is asked for.
"""

import random
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tds_core.database import is_away, is_contended, named, refuses
from tds_core.errors import SNOOZE, PermissionMissingError, SourceError, TdsError, TransientError
from tds_core.observability import metrics, tracing
from tds_core.observability.metrics import watch
from tds_core.quality.clock_skew import Clock
from tds_core.queue import items as queue_items
from tds_core.queue.retry_policy import RetryOutcome, decide_retry
from tds_core.records import row_locks
from tds_core.records.row_locks import LockedError
from tds_core.sources import backoff, missing_permissions
from tds_core.sources.base import ListPage, Traffic
from tds_core.sources.missing_permissions import PermissionStatus
from tds_core.sync import page_commit, run_requests, runs
from tds_core.sync.holds import ChangeLimits
from tds_core.sync.page_commit import ComparedPage, isolate_bad_rows
from tds_core.sync.progress import Position
from tds_core.sync.runs import RunLease
from tds_models.entities import ENTITIES
from tds_models.entities.base import Order
from tds_models.runs import Mode
from tds_tasks import nudge
from tds_tasks.app import app
from tds_tasks.context import is_elsewhere, reading, scope, settings, source, unhurried, while_reachable
from tds_tasks.work_batch_commit import OUTAGES
from tds_tasks.worker.leases import worker_name

T = TypeVar("T")


@contextmanager
def prefetch(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """The same items, each made in another thread while the one before it is being used.

    An error in `items` comes out where its item would have. Leaving the block waits for the item being made, no more.
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as worker:

        def take() -> Iterator[T]:
            coming: Future[T | object] = worker.submit(copy_context().run, next, items, end)
            while (item := coming.result()) is not end:
                coming = worker.submit(copy_context().run, next, items, end)
                yield item  # type: ignore[misc]  # it is not the end, so it is a T

        yield take()


log = structlog.get_logger(__name__)

# A run lays itself down after so long, so that a first load of a million records starves nobody.
SLICE_SECONDS = 10.0
# A page may take this long to come before somebody else takes the run up.
RUN_LEASE_SECONDS = 90.0
# The database's clock is asked for once in this time: a page asked for later only counts as somewhat older than it is.
CLOCK_SECONDS = 1.0
# So many pages without news are written down at once, or those of so long a time.
GROUP_PAGES, GROUP_SECONDS = 16, 1.0
OUTAGE_SECONDS = 2.0
# A run whose page meets a table, or rows, that somebody else has locked looks again after so long.
LOCK_SECONDS = 5.0


@app.task(name="tds.run.advance")
def advance(run_id: int) -> None:
    """Take the run some pages further."""
    with while_reachable():
        advance_run(run_id)


def advance_run(run_id: int, *, slice_seconds: float = SLICE_SECONDS) -> bool:
    """Take run `run_id` further for `slice_seconds`. Returns whether it has to go on."""
    run, known = _take_up(run_id)
    if run is None:
        return False
    if run.mode == Mode.TARGETED:
        return _watch(run)
    structlog.contextvars.bind_contextvars(correlation_id=run.correlation_id, run_id=run.id, entity=run.entity)
    try:
        with tracing.span("run", correlation_id=run.correlation_id, entity=run.entity, mode=run.mode, run_id=run.id):
            goes_on = _read_on(run, known, until=time.monotonic() + slice_seconds)
    except SourceError as error:
        _put_off(run, error)
        return False
    except (LockedError, *OUTAGES) as error:
        with suppress(SQLAlchemyError):
            _interrupt(run, error)
        return False
    except page_commit.LostLeaseError:
        with scope() as session:
            runs.settle_cancelled(session, run)
        return False
    finally:
        structlog.contextvars.clear_contextvars()
    if goes_on:
        with suppress(*nudge.FAILURES):  # the dispatcher looks too
            nudge.nudge_run(run.id)
    return goes_on


def _take_up(run_id: int) -> tuple[RunLease | None, PermissionStatus]:
    """The run in our hands, with what is known to be refused of its stream; None when it is not to be read on."""
    if is_elsewhere():
        return None, PermissionStatus()
    with scope() as session:
        run = runs.claim_run(
            session,
            run_id,
            lease_seconds=RUN_LEASE_SECONDS,
            worker=worker_name(),
            overlap_seconds=settings().cursor_overlap_seconds,
        )
        if run is None or run.mode == Mode.TARGETED:
            return run, PermissionStatus()
        known = missing_permissions.permission_status(session, ENTITIES[run.entity].stream)
        refused = backoff.pause_left(session, _source_of(run)) or known.waits("")
        if refused:
            runs.yield_run(session, run, delay_seconds=refused.after_seconds, reason=str(refused))
    return (None if refused else run), known


def _watch(run: RunLease) -> bool:
    """Look how far the workers are with the run's records; the dispatcher has it looked at again."""
    with scope() as session:
        runs.settle_cancelled(session, run)
        ended = run_requests.record_outcomes(session, run)
    if ended:
        log.info("run_completed", run_id=run.id, entity=run.entity, mode=run.mode, **run.outcomes)
    return False


def _interrupt(run: RunLease, error: BaseException) -> None:
    """An outage costs the run nothing, nor do locks of others; a statement that fails again and again ends it."""
    if is_contended(error) or isinstance(error, LockedError):
        _wait_for_lock(run)
        return
    if isinstance(error, DBAPIError) and not is_away(error):
        _put_off(run, named(error))
        return
    if not is_away(error):
        log.warning("run_interrupted", error=type(error).__name__)
    with scope() as session:
        runs.yield_run(session, run, delay_seconds=OUTAGE_SECONDS, reason=type(error).__name__)


def _wait_for_lock(run: RunLease) -> None:
    with scope() as session:
        held = row_locks.table_held(session, ENTITIES[run.entity])
        runs.yield_run(session, run, delay_seconds=LOCK_SECONDS, reason=str(held))
    log.info("run_waits_for_lock", detail=str(held))


def _source_of(run: RunLease) -> str:
    return ENTITIES[run.entity].stream.source


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page, the database's clock before it was asked for, how long it took to come and how many calls it cost."""

    page: ListPage
    read_at: datetime
    seconds: float
    call_count: int


def _read_on(run: RunLease, known: PermissionStatus, *, until: float) -> bool:
    """Read pages until the list ends (False) or the time is up (True): one comes, one is read, one is written."""
    with prefetch(_fetched(run, until)) as pages, prefetch(_prepared(run, pages)) as ready:
        for group in _grouped(run, ready):
            if known.module is not None:
                with scope() as session:
                    missing_permissions.lift(session, ENTITIES[run.entity].stream, known, ())
                known = PermissionStatus()
            try:
                _take(run, group)
            except page_commit.TooMuchError as too_much:
                with scope() as session:
                    page_commit.hold_page(session, run, too_much.stake, call_count=group[-1].call_count)
                return False
    if not run.position.ended:
        with scope() as session:
            runs.yield_run(session, run)
        return True
    with unhurried() as session:
        finish = page_commit.finish_pass(session, run, limits=_limits())
        if finish is page_commit.Finish.NOT_YET:
            runs.yield_run(session, run)
    if finish is page_commit.Finish.COMPLETED:
        log.info("run_completed", mode=run.mode, page_count=run.page_count, **run.outcomes)
    return finish is page_commit.Finish.NOT_YET


def _limits() -> ChangeLimits:
    return ChangeLimits(settings().guard_percent, settings().guard_records)


def _fetched(run: RunLease, until: float) -> Iterator[Fetched]:
    """The pages from the run's position on: at least one, and no more once the time is up."""
    position = run.position
    read_at, clock_asked = None, 0.0
    while True:
        if read_at is None or time.monotonic() - clock_asked > CLOCK_SECONDS:
            clock_asked = time.monotonic()
            with reading() as session:
                read_at = queue_items.database_clock(session)
        fetched = _fetch(run, position, read_at)
        yield fetched
        position = position.after(fetched.page)
        if position.ended or time.monotonic() >= until:
            return


def _prepared(run: RunLease, pages: Iterator[Fetched]) -> Iterator[ComparedPage]:
    ahead_of_us: deque[Mapping[str, bytes]] = deque(maxlen=2)  # one being written, one waiting for it
    with reading() as session:  # one for all pages: taking it anew takes as long as what it is asked; no transaction
        for fetched in pages:
            before = {key: value for hashes in ahead_of_us for key, value in hashes.items()}
            prepared = page_commit.compare_rows(session, run, fetched.page, read_at=fetched.read_at, before=before)
            ahead_of_us.append(prepared.hashes)
            yield ComparedPage(fetched.page, prepared, fetched.seconds, fetched.call_count)


def _grouped(run: RunLease, ready: Iterator[ComparedPage]) -> Iterator[list[ComparedPage]]:
    """Each page by itself; those of which the mirror has all together, for only their bookkeeping is to be written."""
    group: list[ComparedPage] = []
    since = time.monotonic()
    try:
        for each in ready:
            waits = each.prepared.is_known and run.mode != Mode.DRY_RUN
            if group and not waits:
                yield group
                group = []
            group.append(each)
            if not waits or len(group) == GROUP_PAGES or time.monotonic() - since > GROUP_SECONDS:
                yield group
                group, since = [], time.monotonic()
    except SourceError:
        if group:
            yield group
        raise
    if group:
        yield group


def _fetch(run: RunLease, position: Position, read_at: datetime) -> Fetched:
    stream = ENTITIES[run.entity].stream
    client = source(stream.source)
    began, calls = time.monotonic(), client.call_count
    if not position.asks_order:
        stream = replace(stream, order=Order.NONE)
    page = client.list_page(stream, since=position.since, page=position.page, traffic=Traffic.SCHEDULED)
    if page.clock is None:
        page = replace(page, clock=Clock(read_at, timedelta(seconds=settings().clock_tolerance_seconds)))
    return Fetched(page, read_at, time.monotonic() - began, client.call_count - calls)


def _take(run: RunLease, group: list[ComparedPage]) -> None:
    """Write pages; when the database refuses one, write it without the records it refuses."""
    began = time.monotonic()
    try:
        counts = _write(run, group)
    except DBAPIError as error:
        if not refuses(error):
            raise
        log.warning("run_page_refused", detail=str(named(error)), page=run.page_count + 1)
        with scope() as session:
            sifted = [
                replace(each, prepared=isolate_bad_rows(session, ENTITIES[run.entity], each.prepared)) for each in group
            ]
        counts = _write(run, sifted)
    seconds = time.monotonic() - began
    for _ in group:
        metrics.sync_seconds.labels(run.entity, run.mode).observe(seconds / len(group))
    watch.tell("page", seconds / len(group), entity=run.entity, run_id=run.id)
    for outcome, count in counts.items():
        metrics.sync_outcomes.labels(run.entity, outcome).inc(count)


def _write(run: RunLease, group: list[ComparedPage]) -> Counter[str]:
    with scope() as session:
        return page_commit.commit_pages(session, run, group, lease_seconds=RUN_LEASE_SECONDS, limits=_limits())


def _put_off(run: RunLease, error: TdsError) -> None:
    """The page failed: wait and go on there, or end the run when waiting would not help."""
    jitter = random.random()  # noqa: S311  (jitter, not a secret)
    with scope() as session:
        if isinstance(error, PermissionMissingError):
            missing_permissions.note(session, _source_of(run), error)
        elif isinstance(error, SNOOZE):
            backoff.pause(session, _source_of(run), error)
        decided = decide_retry(error, runs.past_of(session, run), max_attempts=settings().max_attempts, jitter=jitter)
        if decided.fate is RetryOutcome.DEAD:
            runs.fail(session, run, f"{error.code}: {error}")
        else:
            runs.yield_run(
                session,
                run,
                delay_seconds=decided.delay_seconds,
                counted=decided.fate is RetryOutcome.RETRY,
                failed=isinstance(error, TransientError),
                waits_for=error.waits_for if isinstance(error, SourceError) else "",
                reason=str(error),
            )
    log.warning("run_interrupted", error=error.code, detail=str(error)[:300], fate=decided.fate)
