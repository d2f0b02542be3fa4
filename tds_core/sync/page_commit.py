"""Page commit: applies pages of a run and moves its position and cursor behind them, in one transaction.

`compare_page` reads, `commit_pages` writes, `finish_pass` ends a run whose list was read to its end. A page that the
database refuses is tried record by record (`isolate_bad_rows`), so that one bad record stops no other.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tds_core.database_errors import named, refuses
from tds_core.errors import InvalidRecordError
from tds_core.quality import future_timestamps
from tds_core.records import schema_drift
from tds_core.records.apply import apply
from tds_core.records.transform import Candidate, Provenance, RecordView
from tds_core.sources.base import ListPage
from tds_core.sync import (
    cursors,
    deletions,
    dry_run,
    entity_moves,
    list_anomalies,
    mass_change_guard,
    runs,
    unconfirmed_records,
)
from tds_core.sync.change_limits import ChangeLimits
from tds_core.sync.mass_change_guard import MassChange
from tds_core.sync.page_apply import PageDiff, apply_page, diff_page, joined_creations
from tds_core.sync.position import Position
from tds_core.sync.runs import RunLease
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.runs import Mode

# No need to wait for the disk: a page that a crash of the database loses is lost with its position, and read again.
EXTEND_LEASE = text("""
update tds_sync_runs set leased_until = now() + make_interval(secs => :lease)
where id = :id and lease_token = :token and cancel_requested_at is null
returning set_config('synchronous_commit', 'off', true)
""")

ADVANCE_RUN = text("""
with pages as (
    insert into tds_sync_run_pages (run_id, page, source_ids, list_hashes, fetch_seconds, apply_seconds)
    select :id, page, source_ids, decode(list_hashes, 'hex'), fetch_seconds,
        extract(epoch from clock_timestamp() - now()) / :page_count
    from jsonb_to_recordset(cast(:pages as jsonb)) as p(
        page int, source_ids text[], list_hashes text, fetch_seconds float8)
)
update tds_sync_runs set leased_until = now() + make_interval(secs => :lease),
    position = cast(:position as jsonb), page_count = :page, attempts = 0, end_reason = null,
    failures = 0, failed_at = null,
    skipped_count = skipped_count + :skipped, fetched_count = fetched_count + :fetched,
    api_call_count = api_call_count + :calls,
    outcomes = cast(:outcomes as jsonb), changed_count = :changed, report = cast(:report as jsonb)
where id = :id and lease_token = :token and cancel_requested_at is null
returning set_config('synchronous_commit', 'off', true)
""")

SET_POSITION = text("""
update tds_sync_runs set position = cast(:position as jsonb)
where id = :id and lease_token = :token and cancel_requested_at is null returning id
""")

SET_REPORT = text("update tds_sync_runs set report = cast(:report as jsonb) where id = :id and lease_token = :token")


class LostLeaseError(Exception):
    """The run was cancelled, or another worker has its lease: stop, and write nothing."""


class MassChangeError(Exception):
    """The page would change more than the guard allows: roll back, and hold the run."""

    def __init__(self, mass_change: MassChange) -> None:
        super().__init__(mass_change.reason)
        self.mass_change = mass_change


class PassEnd(StrEnum):
    """What becomes of a run whose list was read to its end."""

    COMPLETED = "completed"
    HELD = "held"
    WALK_AGAIN = "not_yet"  # the list has to be read once more from its beginning


@dataclass(frozen=True, slots=True)
class ComparedPage:
    """A page and how it differs from the mirror, with what fetching it took: seconds and API calls."""

    page: ListPage
    diff: PageDiff
    fetch_seconds: float
    call_count: int


def compare_page(
    session: Session, run: RunLease, page: ListPage, *, read_at: datetime, pending_hashes: Mapping[str, bytes]
) -> PageDiff:
    """Compare `page`, requested after `read_at` (the database's clock), with the mirror. Writes nothing.

    `pending_hashes`: see `diff_page`.
    """
    entity = ENTITIES[run.entity]
    return diff_page(
        session,
        entity,
        page.rows,
        read_at=read_at,
        provenance=Provenance("run", run.id, run.correlation_id),
        pending_hashes=pending_hashes,
        thorough=run.mode == Mode.FULL or bool(run.asked.get("full")),
        known_keys=schema_drift.known_keys(session, entity, RecordView.LIST, run_id=run.id),
        clock=page.clock,
    )


def commit_pages(
    session: Session, run: RunLease, pages: Sequence[ComparedPage], *, lease_seconds: float, limits: ChangeLimits
) -> Counter[str]:
    """Apply pages and move the run's position, and the cursor, behind them. Returns the records by outcome.

    Pages overlap: a record that several show counts once. Afterwards `run.position` is where the next page begins.
    Raises LostLeaseError, MassChangeError when a page goes beyond `limits`, and LockedError; `run` is then as before.
    """
    before = run.outcomes.copy(), run.changed_count
    shown_ids = {row.source_id for each in pages for row in each.page.rows} - run.seen_ids
    try:
        return _commit_all(session, run, pages, lease_seconds, limits)
    except Exception:
        run.outcomes, run.changed_count = before
        run.seen_ids -= shown_ids
        raise


def _commit_all(
    session: Session, run: RunLease, pages: Sequence[ComparedPage], lease_seconds: float, limits: ChangeLimits
) -> Counter[str]:
    lease = {"id": run.id, "token": run.token, "lease": lease_seconds}
    # Where nothing is written but the run's own rows, the last statement is the fence.
    if not all(each.diff.is_known and not each.page.strange for each in pages):
        execute_fenced(session, EXTEND_LEASE, lease)
    counts: Counter[str] = Counter()
    position, run_pages, seen_before = run.position, list[dict[str, Any]](), len(run.seen_ids)
    for together in _groups(pages):
        counts += _commit_page(session, run, _joined([each.diff for each in together]), limits)
        for each in together:
            position = _next_position(session, run, position, each.page)
            run_pages.append(_run_page(run.page_count + len(run_pages) + 1, each))
            run.seen_ids.update(run_pages[-1]["source_ids"])
    fetched_count = len(run.seen_ids) - seen_before
    may_move_cursor = run.mode == Mode.INCREMENTAL or (run.mode == Mode.FULL and position.ended)
    if position.sorted and position.reached and may_move_cursor:
        cursors.advance(session, run.entity, position.reached, run_id=run.id)
    params = {
        **lease,
        "position": encode_position(position),
        "fetched": fetched_count,
        "skipped": sum(each.diff.skipped_count for each in pages),
        "calls": sum(each.call_count for each in pages),
        "outcomes": msgspec.json.encode(run.outcomes).decode(),
        "page": run.page_count + len(pages),
        "changed": run.changed_count,
        "report": dry_run.encode_report(run.report) if run.mode == Mode.DRY_RUN else None,
        "pages": msgspec.json.encode(run_pages).decode(),
        "page_count": len(pages),
    }
    execute_fenced(session, ADVANCE_RUN, params)
    run.position, run.attempts, run.failures = position, 0, 0
    run.page_count += len(pages)
    run.fetched_count += fetched_count
    return counts


def _groups(pages: Sequence[ComparedPage]) -> Iterator[list[ComparedPage]]:
    """The pages in their order, those together that one statement can write: neighbours that only create."""
    for only_creates, together in groupby(pages, key=lambda each: each.diff.only_creates):
        if only_creates:
            yield list(together)
        else:
            yield from ([each] for each in together)


def _joined(diffs: Sequence[PageDiff]) -> PageDiff:
    return diffs[0] if len(diffs) == 1 else joined_creations(diffs)


def _run_page(number: int, compared: ComparedPage) -> dict[str, Any]:
    """What is stored of a page: its records, with the fingerprints of their rows."""
    source_ids = [row.source_id for row in compared.page.rows]
    hashes = b"".join(compared.diff.hashes[source_id] for source_id in source_ids)
    return {
        "page": number,
        "source_ids": source_ids,
        "list_hashes": hashes.hex(),
        "fetch_seconds": compared.fetch_seconds,
    }


def execute_fenced(session: Session, statement: TextClause, params: Mapping[str, Any]) -> None:
    """Execute a statement that changes a row only under the run's own lease. Raises LostLeaseError."""
    if session.execute(statement, params).first() is None:
        raise LostLeaseError


def _commit_page(session: Session, run: RunLease, diff: PageDiff, limits: ChangeLimits) -> Counter[str]:
    """Apply one page, guarded against mass change. A dry run enters it into its report instead."""
    if run.mode == Mode.DRY_RUN:
        dry_run.report_page(session, run, diff)
        return Counter()
    entity = ENTITIES[run.entity]
    result = apply_page(session, entity, diff, correlation_id=run.correlation_id, seen_ids=run.seen_ids)
    mass_change = mass_change_guard.count_changes(session, run, changed_count=result.changed_count, limits=limits)
    if mass_change is not None:
        raise MassChangeError(mass_change)
    schema_drift.notice(session, entity, RecordView.LIST, diff.drift_records, broken=diff.broken_records)
    run.changed_count += result.changed_count
    run.outcomes.update(result.counts)
    return result.counts


def _next_position(session: Session, run: RunLease, position: Position, page: ListPage) -> Position:
    """Where the run continues after `page`. Rows without an id and a broken order become findings."""
    list_anomalies.note_strange(session, run, page, is_again=position.walk > 1)
    following = position.after(page)
    if position.sorted and not following.sorted:
        list_anomalies.note_disorder(session, run, page)
    return following


def hold_page(session: Session, run: RunLease, mass_change: MassChange, *, call_count: int) -> None:
    """Hold the run before the page that was rolled back; it is fetched again once an operator approves."""
    _hold(session, run, mass_change, call_count)


def finish_pass(session: Session, run: RunLease, *, limits: ChangeLimits) -> PassEnd:
    """End a run whose list was read to its end; after a full pass, look for records the list did not show."""
    entity = ENTITIES[run.entity]
    missing = deletions.absent(session, entity, run) if run.mode == Mode.FULL else []
    if list_anomalies.needs_another_walk(session, run, is_missing=bool(missing)):
        run.position = run.position.next_walk()
        params = {"id": run.id, "token": run.token, "position": encode_position(run.position)}
        execute_fenced(session, SET_POSITION, params)
        return PassEnd.WALK_AGAIN
    doubt = list_anomalies.note_doubt(session, run)
    if run.mode == Mode.FULL:
        _note_doubts(session, run, doubt)
    if run.mode == Mode.DRY_RUN:
        _finish_dry_run(session, run, doubt)
        return PassEnd.COMPLETED
    future_timestamps.resolve_reached(session, entity)
    future_timestamps.resolve_clock(session, entity)
    unconfirmed_records.resolve_unconfirmed(session, entity, run_id=run.id, listed_all=False)
    if run.mode == Mode.FULL and not run.position.endless:
        mass_change = mass_change_guard.count_absences(session, run, missing, limits=limits)
        if mass_change is not None:
            _hold(session, run, mass_change)
            return PassEnd.HELD
        _finish_full_pass(session, run, entity, missing)
    if run.position.reached and not run.position.sorted and not doubt:
        cursors.advance(session, run.entity, run.position.reached, run_id=run.id)
    runs.complete(session, run, list_anomalies.end_reason(run, doubt))
    return PassEnd.COMPLETED


def _note_doubts(session: Session, run: RunLease, doubt: str) -> None:
    """Note in the report of a full pass why its pages do not show the whole list, for comparisons that follow it."""
    doubts = [doubt] if doubt else []
    if unreadable := run.outcomes["unreadable"]:
        doubts.append(f"{unreadable:,} rows of the list have no usable id")
    if doubts:
        report = msgspec.json.encode({"doubts": doubts}).decode()
        session.execute(SET_REPORT, {"id": run.id, "token": run.token, "report": report})


def _finish_full_pass(session: Session, run: RunLease, entity: Entity, missing: Sequence[str]) -> None:
    """Have missing records read one by one, and resolve what a list of all records settles."""
    run.outcomes["absent"] = deletions.enqueue_absent(session, entity, missing, run)
    unconfirmed_records.resolve_unconfirmed(session, entity, run_id=run.id, listed_all=True)
    entity_moves.resolve_moved(session, entity)
    list_anomalies.resolve_unseen(session, run)
    schema_drift.look_for_gone(session, entity, run_id=run.id)


def _finish_dry_run(session: Session, run: RunLease, doubt: str) -> None:
    if run.asked["full"] and not run.position.endless:
        dry_run.report_absent(session, run)
    params = {"id": run.id, "token": run.token, "report": dry_run.encode_report(run.report)}
    session.execute(SET_REPORT, params)
    runs.complete(session, run, f"{list_anomalies.end_reason(run, doubt)}; nothing was changed")


def encode_position(position: Position) -> str:
    """The position as the JSON that is stored with the run."""
    return msgspec.json.encode(position.as_json()).decode()


def _hold(session: Session, run: RunLease, mass_change: MassChange, call_count: int = 0) -> None:
    is_held = mass_change_guard.hold(
        session,
        run,
        mass_change.kind,
        reason=mass_change.reason,
        record_count=mass_change.record_count,
        preview=mass_change.preview,
        call_count=call_count,
    )
    if not is_held:
        runs.finish_cancelled(session, run)


def isolate_bad_rows(session: Session, entity: Entity, diff: PageDiff) -> PageDiff:
    """Try each record of a page in a savepoint that is rolled back; move those the database refuses to the invalid."""
    candidates = [*diff.candidates, *(diff.creation.candidates if diff.creation else ())]
    refused = {each.source_id: error for each in candidates if (error := _refusal(session, entity, each))}
    return replace(
        diff,
        creation=None,
        candidates=[each for each in candidates if each.source_id not in refused],
        invalid=[*diff.invalid, *refused.items()],
    )


def _refusal(session: Session, entity: Entity, candidate: Candidate) -> InvalidRecordError | None:
    savepoint = session.begin_nested()
    try:
        apply(session, entity, [candidate])
    except DBAPIError as error:
        if not refuses(error):
            raise
        return InvalidRecordError(str(named(error)))
    finally:
        if savepoint.is_active:
            savepoint.rollback()
    return None
