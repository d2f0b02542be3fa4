"""The task `tds.run.advance`: takes a run further by some pages, each committed with the run's position.

A page passes four steps, each of which works on the next page while the one after it works on this:
`_fetch_page` requests it from the source, `_compare_pages` compares it with the mirror, `_group_pages` joins pages
without news, and `_commit_pages` applies them.
"""

import random
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tds_core.database_errors import is_away, is_contended, named, refuses
from tds_core.errors import SNOOZE, PermissionMissingError, SourceError, TdsError, TransientError
from tds_core.observability import metrics, tracing
from tds_core.observability.slow_operations import slow
from tds_core.queue.retry_policy import RetryOutcome, decide_retry
from tds_core.records import row_lock_waits
from tds_core.records.row_lock_waits import LockedError
from tds_core.sources import missing_permissions, rate_limit_pause
from tds_core.sources.missing_permissions import PermissionStatus
from tds_core.sync import page_commit, run_requests, runs
from tds_core.sync.change_limits import ChangeLimits
from tds_core.sync.page_commit import ComparedPage, LostLeaseError, MassChangeError, PassEnd
from tds_core.sync.runs import RunLease
from tds_models.entities import ENTITIES
from tds_models.runs import Mode, Run, RunState
from tds_tasks import comparison_runs, task_results, worker_nudges
from tds_tasks.app import app
from tds_tasks.context import is_elsewhere, read_scope, scope, settings, unhurried, while_reachable
from tds_tasks.page_fetch import FetchedPage, fetch_pages, prefetch
from tds_tasks.work_batch_commit import OUTAGES
from tds_tasks.worker.lease_holder_liveness import worker_name

log = structlog.get_logger(__name__)

# A run yields after this time, so that a first load of a million records keeps no other run waiting.
SLICE_SECONDS = 10.0
# A page may take this long to arrive before another worker takes the run over.
RUN_LEASE_SECONDS = 90.0
# Pages without news are committed together, and pages of new records: at most so many, or those of so long a time.
GROUP_PAGES, GROUP_CREATING_PAGES, GROUP_SECONDS = 16, 8, 1.0
OUTAGE_SECONDS = 2.0
# How long a run waits whose page meets a table, or rows, that another transaction has locked.
LOCK_SECONDS = 5.0


@app.task(name="tds.run.advance", throws=(task_results.WorkFailedError,))
def advance(run_id: int) -> str:
    """Take the run some pages further."""
    sentence, failed = f"run {run_id}: PostgreSQL was away", False
    with while_reachable():
        advance_run(run_id)
        with scope() as session:
            if run := session.get(Run, run_id):
                sentence, failed = task_results.run_sentence(run), run.state == RunState.FAILED
    return task_results.ended(sentence, failed=failed)


def advance_run(run_id: int, *, slice_seconds: float = SLICE_SECONDS) -> bool:
    """Take run `run_id` further for `slice_seconds`. Returns whether it has to go on."""
    run, permissions = _claim(run_id)
    if run is None:
        return False
    if run.mode == Mode.TARGETED:
        _record_outcomes(run)
        return False
    structlog.contextvars.bind_contextvars(
        correlation_id=run.correlation_id, run_id=run.id, entity=run.entity, caller=run.requested_by
    )
    try:
        with tracing.span("run", correlation_id=run.correlation_id, entity=run.entity, mode=run.mode, run_id=run.id):
            until = time.monotonic() + slice_seconds
            if run.mode == Mode.COMPARISON:
                goes_on = comparison_runs.advance_comparison(run, until=until, lease_seconds=RUN_LEASE_SECONDS)
            else:
                goes_on = _read_pages(run, permissions, until=until)
    except SourceError as error:
        _put_off(run, error)
        return False
    except (LockedError, *OUTAGES) as error:
        with suppress(SQLAlchemyError):
            _interrupt(run, error)
        return False
    except LostLeaseError:
        with scope() as session:
            runs.finish_cancelled(session, run)
        return False
    finally:
        structlog.contextvars.clear_contextvars()
    if goes_on:
        with suppress(*worker_nudges.FAILURES):  # the dispatcher looks too
            worker_nudges.nudge_run(run.id)
    return goes_on


def _claim(run_id: int) -> tuple[RunLease | None, PermissionStatus]:
    """The run, leased, and the permissions its stream is known to lack; None when it is not to be read now."""
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
        permissions = missing_permissions.permission_status(session, ENTITIES[run.entity].stream)
        refusal = rate_limit_pause.pause_left(session, _source_of(run)) or permissions.waits("")
        if refusal:
            runs.yield_run(session, run, delay_seconds=refusal.after_seconds, reason=str(refusal))
    return (None if refusal else run), permissions


def _record_outcomes(run: RunLease) -> None:
    """Record how far the workers are with a targeted run's records; the dispatcher has it looked at again."""
    with scope() as session:
        runs.finish_cancelled(session, run)
        has_ended = run_requests.record_outcomes(session, run)
    if has_ended:
        log.info("run_completed", run_id=run.id, entity=run.entity, mode=run.mode, **run.outcomes)


def _source_of(run: RunLease) -> str:
    return ENTITIES[run.entity].stream.source


def _read_pages(run: RunLease, permissions: PermissionStatus, *, until: float) -> bool:
    """Fetch, compare and commit pages until the list ends or the time is up. Returns whether the run has to go on."""
    with (
        prefetch(fetch_pages(run, until)) as fetched,
        prefetch(_compare_pages(run, fetched), ahead=GROUP_CREATING_PAGES) as compared,
    ):
        for pages in _group_pages(run, compared):
            if permissions.module is not None:
                with scope() as session:
                    missing_permissions.clear_refusals(session, ENTITIES[run.entity].stream, permissions, ())
                permissions = PermissionStatus()
            try:
                _commit_pages(run, pages)
            except MassChangeError as error:
                with scope() as session:
                    page_commit.hold_page(session, run, error.mass_change, call_count=pages[-1].call_count)
                return False
    if not run.position.ended:
        with scope() as session:
            runs.yield_run(session, run)
        return True
    return _finish_pass(run)


class UncommittedHashes:
    """The fingerprints of rows of the last `most` pages, by source id; of a record that several show, of the last."""

    def __init__(self, most: int) -> None:
        self.by_id: dict[str, bytes] = {}
        self._most = most
        self._pages: deque[Mapping[str, bytes]] = deque()

    def add(self, page: Mapping[str, bytes]) -> None:
        """Add those of the next page, and forget those of the oldest."""
        self._pages.append(page)
        self.by_id |= page
        if len(self._pages) > self._most:
            for key, value in self._pages.popleft().items():
                if self.by_id[key] is value:  # no later page shows the record
                    del self.by_id[key]


def _compare_pages(run: RunLease, pages: Iterator[FetchedPage]) -> Iterator[ComparedPage]:
    """Each page with how it differs from the mirror as it will be once the pages before it are committed."""
    # Those of a group that is being written or gathered, those compared ahead, and the one in hand.
    uncommitted = UncommittedHashes(2 * GROUP_CREATING_PAGES + 1)
    with read_scope() as session:  # one for all pages, no transaction: opening one takes as long as a query
        for fetched in pages:
            diff = page_commit.compare_page(
                session, run, fetched.page, read_at=fetched.read_at, pending_hashes=uncommitted.by_id
            )
            uncommitted.add(diff.hashes)
            yield ComparedPage(fetched.page, diff, fetched.seconds, fetched.call_count)


def _group_pages(run: RunLease, pages: Iterator[ComparedPage]) -> Iterator[list[ComparedPage]]:
    """Each page by itself; together those of which the mirror has all, for only their bookkeeping is written, and those
    that only create.
    """
    group: list[ComparedPage] = []
    since = time.monotonic()
    try:
        for page in pages:
            most = _most_together(run, page)
            if group and most != _most_together(run, group[-1]):
                yield group
                group = []
            group.append(page)
            if len(group) >= most or time.monotonic() - since > GROUP_SECONDS:
                yield group
                group, since = [], time.monotonic()
    except SourceError:
        if group:
            yield group
        raise
    if group:
        yield group


def _most_together(run: RunLease, page: ComparedPage) -> int:
    """How many pages like this one are committed at once."""
    if run.mode == Mode.DRY_RUN:
        return 1
    return GROUP_PAGES if page.diff.is_known else GROUP_CREATING_PAGES if page.diff.only_creates else 1


def _commit_pages(run: RunLease, pages: list[ComparedPage]) -> None:
    """Commit pages; when the database refuses one, commit it without the records it refuses."""
    began = time.monotonic()
    try:
        counts = _commit(run, pages)
    except DBAPIError as error:
        if not refuses(error):
            raise
        log.warning("run_page_refused", detail=str(named(error)), page=run.page_count + 1)
        counts = _commit(run, _isolate_bad_rows(run, pages))
    seconds = time.monotonic() - began
    for _ in pages:
        metrics.sync_seconds.labels(run.entity, run.mode).observe(seconds / len(pages))
    slow.observe("page", seconds / len(pages), entity=run.entity, run_id=run.id)
    for outcome, count in counts.items():
        metrics.sync_outcomes.labels(run.entity, outcome).inc(count)


def _commit(run: RunLease, pages: list[ComparedPage]) -> Counter[str]:
    with scope() as session:
        return page_commit.commit_pages(session, run, pages, lease_seconds=RUN_LEASE_SECONDS, limits=_limits())


def _isolate_bad_rows(run: RunLease, pages: list[ComparedPage]) -> list[ComparedPage]:
    entity = ENTITIES[run.entity]
    with scope() as session:
        return [replace(each, diff=page_commit.isolate_bad_rows(session, entity, each.diff)) for each in pages]


def _limits() -> ChangeLimits:
    return ChangeLimits(settings().guard_percent, settings().guard_records)


def _finish_pass(run: RunLease) -> bool:
    """End a run whose list was read to its end. Returns whether the list has to be read again."""
    with unhurried() as session:
        end = page_commit.finish_pass(session, run, limits=_limits())
        if end is PassEnd.WALK_AGAIN:
            runs.yield_run(session, run)
    if end is PassEnd.COMPLETED:
        log.info("run_completed", mode=run.mode, page_count=run.page_count, **run.outcomes)
    return end is PassEnd.WALK_AGAIN


def _interrupt(run: RunLease, error: BaseException) -> None:
    """Put off a run after an outage or a lock, uncounted; a statement that fails again and again ends it."""
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
        lock = row_lock_waits.table_held(session, ENTITIES[run.entity])
        runs.yield_run(session, run, delay_seconds=LOCK_SECONDS, reason=str(lock))
    log.info("run_waits_for_lock", detail=str(lock))


def _put_off(run: RunLease, error: TdsError) -> None:
    """After a failed page: put the run off to go on there, or end it when waiting would not help."""
    jitter = random.random()  # noqa: S311  (jitter, not a secret)
    with scope() as session:
        if isinstance(error, PermissionMissingError):
            missing_permissions.record_refusal(session, _source_of(run), error)
        elif isinstance(error, SNOOZE):
            rate_limit_pause.pause(session, _source_of(run), error)
        decision = decide_retry(
            error, runs.failure_history(session, run), max_attempts=settings().max_attempts, jitter=jitter
        )
        if decision.outcome is RetryOutcome.DEAD:
            runs.fail(session, run, f"{error.code}: {error}")
        else:
            runs.yield_run(
                session,
                run,
                delay_seconds=decision.delay_seconds,
                counted=decision.outcome is RetryOutcome.RETRY,
                failed=isinstance(error, TransientError),
                waits_for=error.waits_for if isinstance(error, SourceError) else "",
                reason=str(error),
            )
    log.warning("run_interrupted", error=error.code, detail=str(error)[:300], fate=decision.outcome)
