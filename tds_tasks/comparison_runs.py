"""Comparison runs: read an entity's list and, of suspects, the records themselves, and compare them with the mirror.

No transaction is open while the source is asked.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy.orm import Session

from tds_core.comparison import agreement_statements, comparisons, confirmation, progress, reports, suspect_store
from tds_core.comparison.agreement_statements import StatementError
from tds_core.comparison.comparisons import ComparisonPart
from tds_core.comparison.confirmation import Moment
from tds_core.comparison.list_comparison import compare_followed, compare_rows
from tds_core.comparison.suspect_store import DueSuspect
from tds_core.errors import SNOOZE, ConfigError, PermissionMissingError
from tds_core.quality.future_timestamps import Clock
from tds_core.queue import items as queue_items
from tds_core.records.transform import fingerprint
from tds_core.sources import rate_limit_pause
from tds_core.sources.base import FetchResult, ListPage, Traffic
from tds_core.sync import runs
from tds_core.sync.change_limits import ChangeLimits
from tds_core.sync.runs import RunLease
from tds_models.comparison import Agreement
from tds_tasks.context import scope, settings, source, unhurried
from tds_tasks.page_fetch import FetchedPage, fetch_pages, prefetch

log = structlog.get_logger(__name__)

# How many records without a batch call are read between two looks at the clock.
SINGLE_CHUNK = 10
GROUP_PAGES, GROUP_SECONDS = 8, 1.0
# Adding up a million records takes about half a minute.
FINISH_SECONDS = 300.0
# A run that waits for another one's list looks again after this.
LIST_WAIT_SECONDS = 1.0


def advance_comparison(run: RunLease, *, until: float, lease_seconds: float) -> bool:
    """Take a comparison run further until `until` (`time.monotonic`). Returns whether it goes on at once."""
    with scope() as session:
        part = comparisons.part_of(session, run.id)
        if part.list_is_lost and not part.list_is_read:
            comparisons.read_list_itself(session, run.id)
            part = comparisons.part_of(session, run.id)
        if part.follows and not part.list_is_read:
            runs.yield_run(session, run, delay_seconds=LIST_WAIT_SECONDS, reason="waits for the list of another run")
            return False
    if not progress.is_listed(run):
        is_read = _follow(run, part, until, lease_seconds) if part.follows else _list(run, part, until, lease_seconds)
        if not is_read:
            with scope() as session:
                runs.yield_run(session, run)
            return True
        limits = ChangeLimits(settings().guard_percent, settings().guard_records)
        with unhurried() as session:
            progress.finish_listing(session, run, part, limits=limits, lease_seconds=lease_seconds)
    return _confirm(run, part, until, lease_seconds)


def _list(run: RunLease, part: ComparisonPart, until: float, lease_seconds: float) -> bool:
    """Read and compare pages. Returns whether the list was read to its end."""
    fetched = fetch_pages(run, until, traffic=Traffic.COMPARISON)
    with prefetch(fetched) as pages, prefetch(_groups(pages)) as groups:
        for group in groups:
            _compare_pages(run, part, group, lease_seconds)
    if not run.position.ended:
        return False
    with unhurried() as session:
        return not progress.walk_again(session, run, part)


@dataclass(frozen=True, slots=True)
class HashedPage:
    """A fetched page with the fingerprint of each of its rows."""

    fetched: FetchedPage
    list_hashes: Sequence[bytes]

    @property
    def page(self) -> ListPage:
        """The page."""
        return self.fetched.page

    @property
    def seconds(self) -> float:
        """How long fetching it took."""
        return self.fetched.seconds

    @property
    def call_count(self) -> int:
        """How many calls it cost."""
        return self.fetched.call_count


def _groups(pages: Iterator[FetchedPage]) -> Iterator[list[HashedPage]]:
    """Pages to be compared by the same statements: at most so many, or those of so long a time."""
    group: list[HashedPage] = []
    since = time.monotonic()
    for fetched in pages:
        group.append(HashedPage(fetched, [fingerprint(row.raw) for row in fetched.page.rows]))
        if len(group) == GROUP_PAGES or time.monotonic() - since > GROUP_SECONDS:
            yield group
            group, since = [], time.monotonic()
    if group:
        yield group


def _compare_pages(run: RunLease, part: ComparisonPart, group: list[HashedPage], lease_seconds: float) -> None:
    """Compare and commit pages. Of a record that several of them show, the last row counts."""
    raws, list_hashes = {}, {}
    for each in group:
        for row, list_hash in zip(each.page.rows, each.list_hashes, strict=True):
            if row.source_id not in run.seen_ids:
                raws[row.source_id], list_hashes[row.source_id] = row.raw, list_hash
    first = group[0].fetched
    with scope() as session:
        result = compare_rows(session, part.entity, raws, list_hashes, read_at=first.read_at, clock=first.page.clock)
        progress.commit_pages(session, run, part, group, result, lease_seconds=lease_seconds)


def _follow(run: RunLease, part: ComparisonPart, until: float, lease_seconds: float) -> bool:
    """Compare what an earlier pass listed. Returns whether all of it was."""
    trusts_proofs = part.followed_comparison_id not in (None, part.comparison_id)
    while time.monotonic() < until:
        with unhurried() as session:
            found = progress.followed_rows(session, run, part)
            if found is None:
                return True
            list_hashes, page = found
            assert part.list_began_at is not None  # noqa: S101  (a run that has pages has begun)
            result = compare_followed(
                session, part.entity, list_hashes, since=part.list_began_at, trusts_proofs=trusts_proofs,
                differed=progress.differed_before(session, part, list(list_hashes)) if trusts_proofs else frozenset(),
            )  # fmt: skip
            progress.commit_followed(session, run, part, result, page, lease_seconds=lease_seconds)
    return False


def _confirm(run: RunLease, part: ComparisonPart, until: float, lease_seconds: float) -> bool:
    """Decide suspects that are due; end the part once none is left. Returns whether the run goes on at once."""
    batch = part.entity.stream.batch
    while time.monotonic() < until:
        with scope() as session:
            due = suspect_store.due(
                session, part.comparison_id, part.entity, limit=batch.size if batch else SINGLE_CHUNK
            )
            wait = suspect_store.seconds_to_next(session, part.comparison_id, part.entity)
        if due:
            _decide(run, part, due, lease_seconds)
        elif wait is None:
            _finish(run, part)
            return False
        else:
            with scope() as session:
                runs.yield_run(session, run, delay_seconds=wait, reason=suspect_store.SETTLES)
            return False
    with scope() as session:
        runs.yield_run(session, run)
    return True


def _decide(run: RunLease, part: ComparisonPart, due: list[DueSuspect], lease_seconds: float) -> None:
    """Read suspects, and decide them by what was read. Those TDS still has work for are not read yet."""
    idle = [each for each in due if not each.is_owed]
    with scope() as session:
        progress.extend_lease(session, run, lease_seconds)
        if refused := rate_limit_pause.pause_left(session, part.entity.stream.source):
            raise refused
        read_at = queue_items.database_clock(session)
    client = source(part.entity.stream.source)
    calls = client.call_count
    reading = FetchResult()
    if idle:
        reading = client.read(part.entity.stream, [each.source_id for each in idle], traffic=Traffic.COMPARISON)
    refusals = {key: error for key, error in reading.failures.items() if _waits(error)}
    decided = [each for each in due if each.source_id not in refusals]
    clock = Clock(read_at, timedelta(seconds=settings().clock_tolerance_seconds))
    with scope() as session:
        moment = Moment(
            read_at=read_at,
            now=queue_items.database_clock(session),
            settle=timedelta(seconds=settings().comparison_settle_seconds),
        )
        confirmation.decide(
            session,
            part.comparison_id,
            part.entity,
            suspect_store.refreshed(session, part.entity, decided),
            reading,
            moment=moment,
            clock=clock,
        )
        progress.commit_decisions(
            session,
            run,
            detail_count=len(idle) - len(refusals),
            call_count=client.call_count - calls,
            lease_seconds=lease_seconds,
        )
    for error in refusals.values():
        raise error


def _waits(error: Exception) -> bool:
    """Whether a record was not read because nothing of its kind may be read now."""
    return isinstance(error, SNOOZE) and not (isinstance(error, PermissionMissingError) and error.source_id)


def _state(session: Session, comparison_id: int) -> None:
    """Make the statement of a comparison, unless a part of it is unproven or there is no key to sign it with."""
    try:
        agreement_statements.make(session, settings(), comparison_id)
    except (StatementError, ConfigError) as error:
        log.warning("statement_not_made", comparison_id=comparison_id, error=str(error)[:300])


def _finish(run: RunLease, part: ComparisonPart) -> None:
    """End the part of the entity, and with the last one the comparison."""
    with unhurried() as session:
        progress.extend_lease(session, run, FINISH_SECONDS)
        tally = reports.finish_part(session, run, part)
        runs.complete(session, run, f"compared: {tally.agreement}")
        agreement = comparisons.end_if_done(session, part.comparison_id)
        if agreement in (Agreement.EQUAL, Agreement.DIFFERS):
            _state(session, part.comparison_id)
    log.info(
        "entity_compared",
        comparison_id=part.comparison_id,
        agreement=tally.agreement,
        equal=tally.equal_count,
        different=tally.difference_count,
        undecided=tally.suspect_count,
    )
    if agreement is not None:
        log.info("comparison_completed", comparison_id=part.comparison_id, agreement=agreement)
