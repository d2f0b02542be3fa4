"""The task `tds.run.advance`: reads a run's pages, each committed with its cursor, for a slice of time."""

import random
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tds_core import metrics, tracing
from tds_core.database_errors import is_away, named, refuses
from tds_core.errors import TdsError
from tds_core.slow import watch
from tds_core.sources import pause
from tds_core.sources.base import Page
from tds_core.sources.errors import SNOOZE, SourceError, TransientError
from tds_core.sources.traffic import Traffic
from tds_core.sync import passes, queue, runs, targeted
from tds_core.sync.guard import Limits
from tds_core.sync.listing import Prepared
from tds_core.sync.position import Position
from tds_core.sync.retry import Fate, plan
from tds_core.sync.runs import RunLease
from tds_core.sync.sifting import sift
from tds_models.entities import ENTITIES
from tds_models.runs import Mode
from tds_tasks import nudge
from tds_tasks.ahead import ahead
from tds_tasks.app import app
from tds_tasks.context import scope, settings, source, while_reachable
from tds_tasks.liveness import worker_name
from tds_tasks.settling import OUTAGES

log = structlog.get_logger(__name__)

# A run lays itself down after so long, so that a first load of a million records starves nobody.
SLICE_SECONDS = 10.0
# A page may take this long to come before somebody else takes the run up.
RUN_LEASE_SECONDS = 90.0
OUTAGE_SECONDS = 2.0


@app.task(name="tds.run.advance")
def advance(run_id: int) -> None:
    """Take the run some pages further."""
    with while_reachable():
        advance_run(run_id)


def advance_run(run_id: int, *, slice_seconds: float = SLICE_SECONDS) -> bool:
    """Take run `run_id` further for `slice_seconds`. Returns whether it has to go on."""
    with scope() as session:
        run = runs.claim_run(
            session,
            run_id,
            lease_seconds=RUN_LEASE_SECONDS,
            worker=worker_name(),
            overlap_seconds=settings().cursor_overlap_seconds,
        )
        refused = pause.pause_left(session, _source_of(run)) if run and run.mode != Mode.TARGETED else None
        if run and refused:
            runs.yield_run(session, run, delay_seconds=refused.after_seconds, reason=str(refused))
    if run is None or refused:
        return False
    if run.mode == Mode.TARGETED:
        return _watch(run)
    structlog.contextvars.bind_contextvars(correlation_id=run.correlation_id, run_id=run.id, entity=run.entity)
    try:
        with tracing.span("run", thread=run.correlation_id, entity=run.entity, mode=run.mode, run_id=run.id):
            goes_on = _read_on(run, until=time.monotonic() + slice_seconds)
    except SourceError as error:
        _put_off(run, error)
        return False
    except OUTAGES as error:
        with suppress(SQLAlchemyError):
            _interrupt(run, error)
        return False
    except passes.LostRunError:
        with scope() as session:
            runs.settle_cancelled(session, run)
        return False
    finally:
        structlog.contextvars.clear_contextvars()
    if goes_on:
        with suppress(*nudge.FAILURES):  # the dispatcher looks too
            nudge.nudge_run(run.id)
    return goes_on


def _watch(run: RunLease) -> bool:
    """Look how far the workers are with the run's records; the dispatcher has it looked at again."""
    with scope() as session:
        runs.settle_cancelled(session, run)
        ended = targeted.look(session, run)
    if ended:
        log.info("run_completed", run_id=run.id, entity=run.entity, mode=run.mode, **run.outcomes)
    return False


def _interrupt(run: RunLease, error: BaseException) -> None:
    """An outage costs the run nothing; a statement that fails again and again ends it."""
    if isinstance(error, DBAPIError) and not is_away(error):
        _put_off(run, named(error))
        return
    if not is_away(error):
        log.warning("run_interrupted", error=type(error).__name__)
    with scope() as session:
        runs.yield_run(session, run, delay_seconds=OUTAGE_SECONDS, reason=type(error).__name__)


def _source_of(run: RunLease) -> str:
    return ENTITIES[run.entity].stream.source


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page, the database's clock before it was asked for, how long it took to come and how many calls it cost."""

    page: Page
    read_at: datetime
    seconds: float
    call_count: int


def _read_on(run: RunLease, *, until: float) -> bool:
    """Read pages until the list ends (False) or the time is up (True): one comes, one is read, one is written."""
    said_end = True
    with ahead(_fetched(run, until)) as pages, ahead(_prepared(run, pages)) as ready:
        for fetched, prepared in ready:
            said_end = fetched.page.said_end
            try:
                _take(run, fetched, prepared)
            except passes.TooMuchError as too_much:
                with scope() as session:
                    passes.hold_page(session, run, too_much.stake, call_count=fetched.call_count)
                return False
    with scope() as session:
        if not run.position.ended:
            runs.yield_run(session, run)
            return True
        ended = passes.finish_pass(session, run, said_end=said_end, limits=_limits())
    if ended:
        log.info("run_completed", mode=run.mode, page_count=run.page_count, **run.outcomes)
    return False


def _limits() -> Limits:
    return Limits(settings().guard_percent, settings().guard_records)


def _fetched(run: RunLease, until: float) -> Iterator[Fetched]:
    """The pages from the run's position on: at least one, and no more once the time is up."""
    position = run.position
    while True:
        fetched = _fetch(run, position)
        yield fetched
        position = position.after(fetched.page)
        if position.ended or time.monotonic() >= until:
            return


def _prepared(run: RunLease, pages: Iterator[Fetched]) -> Iterator[tuple[Fetched, Prepared]]:
    ahead_of_us: deque[Mapping[str, bytes]] = deque(maxlen=2)  # one being written, one waiting for it
    for fetched in pages:
        before = {key: value for hashes in ahead_of_us for key, value in hashes.items()}
        with scope() as session:
            prepared = passes.prepare_page(session, run, fetched.page, read_at=fetched.read_at, before=before)
        ahead_of_us.append(prepared.hashes)
        yield fetched, prepared


def _fetch(run: RunLease, position: Position) -> Fetched:
    stream = ENTITIES[run.entity].stream
    client = source(stream.source)
    began, calls = time.monotonic(), client.call_count
    with scope() as session:
        read_at = queue.database_clock(session)
    page = client.list_page(stream, since=position.since, page=position.page, traffic=Traffic.SCHEDULED)
    return Fetched(page, read_at, time.monotonic() - began, client.call_count - calls)


def _take(run: RunLease, fetched: Fetched, prepared: Prepared) -> None:
    """Write a page; when the database refuses it, write it without the records it refuses."""
    began = time.monotonic()
    try:
        counts = _write(run, fetched, prepared)
    except DBAPIError as error:
        if not refuses(error):
            raise
        log.warning("run_page_refused", detail=str(named(error)), page=run.page_count + 1)
        with scope() as session:
            sifted = sift(session, ENTITIES[run.entity], prepared)
        counts = _write(run, fetched, sifted)
    seconds = time.monotonic() - began
    metrics.sync_seconds.labels(run.entity, run.mode).observe(seconds)
    watch.tell("page", seconds, entity=run.entity, run_id=run.id)
    for outcome, count in counts.items():
        metrics.sync_outcomes.labels(run.entity, outcome).inc(count)


def _write(run: RunLease, fetched: Fetched, prepared: Prepared) -> Counter[str]:
    with scope() as session:
        return passes.take_page(
            session,
            run,
            fetched.page,
            prepared,
            fetch_seconds=fetched.seconds,
            call_count=fetched.call_count,
            lease_seconds=RUN_LEASE_SECONDS,
            limits=_limits(),
        )


def _put_off(run: RunLease, error: TdsError) -> None:
    """The page failed: wait and go on there, or end the run when waiting would not help."""
    chance = random.random()  # noqa: S311  (jitter, not a secret)
    with scope() as session:
        decided = plan(error, runs.past_of(session, run), max_attempts=settings().max_attempts, chance=chance)
        if decided.fate is Fate.DEAD:
            runs.fail(session, run, f"{error.code}: {error}")
        else:
            runs.yield_run(
                session,
                run,
                delay_seconds=decided.delay_seconds,
                counted=decided.fate is Fate.RETRY,
                failed=isinstance(error, TransientError),
                waits_for=error.waits_for if isinstance(error, SourceError) else "",
                reason=str(error),
            )
        if isinstance(error, SNOOZE):
            pause.pause(session, _source_of(run), error)
    log.warning("run_interrupted", error=error.code, detail=str(error)[:300], fate=decided.fate)
