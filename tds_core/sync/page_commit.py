"""A pass: reads a stream page by page; each page, its cursor and the run's position move in one transaction.

Sifting: a page the database refused is tried record by record, so that one it will never take stops no other.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tds_core.database import named, refuses
from tds_core.errors import InvalidRecordError
from tds_core.quality import clock_skew
from tds_core.records import drift
from tds_core.records.apply import apply
from tds_core.records.transform import Candidate, Evidence, Provenance
from tds_core.sources.base import ListPage
from tds_core.sync import (
    deletions,
    dry_run,
    holds,
    list_anomalies,
    progress,
    runs,
    type_changes,
    unconfirmed,
)
from tds_core.sync.holds import ChangeCount, ChangeLimits
from tds_core.sync.page_apply import PageDiff, apply_page, compare_page
from tds_core.sync.progress import Position
from tds_core.sync.runs import RunLease
from tds_models.entities import ENTITIES
from tds_models.entities.base import Entity
from tds_models.runs import Mode

# A page that a crash of the database forgets is forgotten with its position, and read again: no need to wait for the
# disk.
HOLD = text("""
update tds_sync_runs set leased_until = now() + make_interval(secs => :lease)
where id = :id and lease_token = :token and cancel_requested_at is null
returning set_config('synchronous_commit', 'off', true)
""")

ADVANCE = text("""
with pages as (
    insert into tds_sync_run_pages (run_id, page, source_ids, fetch_seconds, apply_seconds)
    select :id, page, source_ids, fetch_seconds, extract(epoch from clock_timestamp() - now()) / :pages
    from jsonb_to_recordset(cast(:taken as jsonb)) as p(page int, source_ids text[], fetch_seconds float8)
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


def compare_rows(
    session: Session, run: RunLease, page: ListPage, *, read_at: datetime, before: Mapping[str, bytes]
) -> PageDiff:
    """Read what is new on `page`, asked for after `read_at` (the database's clock). Writes nothing. See `prepare`."""
    provenance = Provenance("run", run.id, run.correlation_id)
    return compare_page(
        session,
        ENTITIES[run.entity],
        page.rows,
        read_at=read_at,
        provenance=provenance,
        before=before,
        thorough=run.mode == Mode.FULL or bool(run.asked.get("full")),
        known_keys=drift.known_keys(session, ENTITIES[run.entity], Evidence.LIST, run_id=run.id),
        clock=page.clock,
    )


class LostLeaseError(Exception):
    """The run was cancelled, or its lease went to somebody else: stop, and write nothing."""


class TooMuchError(Exception):
    """The page would change more than passes unasked: take the transaction back and lay the run down."""

    def __init__(self, stake: ChangeCount) -> None:
        super().__init__(stake.reason)
        self.stake = stake


class Finish(StrEnum):
    """What becomes of a run whose list was read to its end."""

    COMPLETED = "completed"
    HELD = "held"
    NOT_YET = "not_yet"  # the list has to be walked through once more


@dataclass(frozen=True, slots=True)
class ComparedPage:
    """A page ready to be written, with what it took to get it: seconds, and calls."""

    page: ListPage
    prepared: PageDiff
    fetch_seconds: float
    call_count: int


def commit_pages(
    session: Session, run: RunLease, ready: Sequence[ComparedPage], *, lease_seconds: float, limits: ChangeLimits
) -> Counter[str]:
    """Apply pages and move the run, and the cursor, behind them: one transaction.

    Pages overlap: a record that several show counts once. Raises `LostRunError`, and `TooMuchError` when a page goes
    beyond `limits`.

    Afterwards `run.position` is where the next page begins.
    """
    before = run.outcomes.copy(), run.changed_count
    shown = {row.source_id for each in ready for row in each.page.rows} - run.seen
    try:
        return _commit_all(session, run, ready, lease_seconds, limits)
    except Exception:  # what was counted is taken back as well
        run.outcomes, run.changed_count = before
        run.seen -= shown
        raise


def _commit_all(
    session: Session, run: RunLease, ready: Sequence[ComparedPage], lease_seconds: float, limits: ChangeLimits
) -> Counter[str]:
    lease = {"id": run.id, "token": run.token, "lease": lease_seconds}
    # Where nothing is written but the run's own rows, the last statement is the fence.
    if not all(each.prepared.is_known and not each.page.strange for each in ready):
        _keep_lease(session, HOLD, lease)
    counts: Counter[str] = Counter()
    position, taken, seen_before = run.position, [], len(run.seen)
    for page_count, each in enumerate(ready, run.page_count + 1):
        counts += _commit_page(session, run, each.prepared, limits)
        following = _follow(session, run, position, each.page)
        source_ids = [row.source_id for row in each.page.rows]
        run.seen.update(source_ids)
        taken.append({"page": page_count, "source_ids": source_ids, "fetch_seconds": each.fetch_seconds})
        position = following
    fetched_count = len(run.seen) - seen_before
    may_move = run.mode == Mode.INCREMENTAL or (run.mode == Mode.FULL and position.ended)
    if position.sorted and position.reached and may_move:
        progress.advance(session, run.entity, position.reached, run_id=run.id)
    _keep_lease(
        session,
        ADVANCE,
        {
            **lease,
            "position": _spell(position),
            "fetched": fetched_count,
            "skipped": sum(each.prepared.skipped_count for each in ready),
            "calls": sum(each.call_count for each in ready),
            "outcomes": msgspec.json.encode(run.outcomes).decode(),
            "page": run.page_count + len(ready),
            "changed": run.changed_count,
            "report": dry_run.spell(run.report) if run.mode == Mode.DRY_RUN else None,
            "taken": msgspec.json.encode(taken).decode(),
            "pages": len(taken),
        },
    )
    run.position, run.attempts, run.failures = position, 0, 0
    run.page_count += len(ready)
    run.fetched_count += fetched_count
    return counts


def _follow(session: Session, run: RunLease, position: Position, page: ListPage) -> Position:
    """Where the run goes on after `page`, and what is to be told of it."""
    list_anomalies.note_strange(session, run, page, is_again=position.walk > 1)
    following = position.after(page)
    if position.sorted and not following.sorted:
        list_anomalies.note_disorder(session, run, page)
    return following


def _commit_page(session: Session, run: RunLease, prepared: PageDiff, limits: ChangeLimits) -> Counter[str]:
    return _look(session, run, prepared) if run.mode == Mode.DRY_RUN else _apply_page(session, run, prepared, limits)


def _keep_lease(session: Session, statement: TextClause, given: Mapping[str, Any]) -> None:
    """Carry out a statement that holds only for the run's own lease."""
    if session.execute(statement, given).first() is None:
        raise LostLeaseError


def _apply_page(session: Session, run: RunLease, prepared: PageDiff, limits: ChangeLimits) -> Counter[str]:
    taken = apply_page(session, ENTITIES[run.entity], prepared, correlation_id=run.correlation_id, before=run.seen)
    stake = holds.count_changes(session, run, changed_count=taken.changed_count, limits=limits)
    if stake is not None:
        raise TooMuchError(stake)
    drift.notice(session, ENTITIES[run.entity], Evidence.LIST, prepared.said, broken=prepared.said_wrongly)
    run.changed_count += taken.changed_count
    run.outcomes.update(taken.counts)
    return taken.counts


def _look(session: Session, run: RunLease, prepared: PageDiff) -> Counter[str]:
    """What a dry run finds is told in its report; it has brought no record anywhere."""
    dry_run.look_at_page(session, run, prepared)
    return Counter()


def hold_page(session: Session, run: RunLease, stake: ChangeCount, *, call_count: int) -> None:
    """Lay the run down at the page that was taken back; it is asked for again once a person has approved."""
    _hold(session, run, stake, call_count)


def finish_pass(session: Session, run: RunLease, *, limits: ChangeLimits) -> Finish:
    """The list was read to its end: after a full pass, look for what it did not show."""
    missing = deletions.absent(session, ENTITIES[run.entity], run) if run.mode == Mode.FULL else []
    if list_anomalies.has_to_be_walked_again(session, run, is_missing=bool(missing)):
        run.position = run.position.next_walk()
        _keep_lease(session, MOVE, {"id": run.id, "token": run.token, "position": _spell(run.position)})
        return Finish.NOT_YET
    unsure = list_anomalies.note_unsure(session, run)
    if run.mode == Mode.DRY_RUN:
        _end_dry_run(session, run, unsure)
        return Finish.COMPLETED
    clock_skew.resolve_reached(session, ENTITIES[run.entity])
    clock_skew.resolve_clock(session, ENTITIES[run.entity])
    unconfirmed.resolve_unconfirmed(session, ENTITIES[run.entity], run_id=run.id, listed_all=False)
    if run.mode == Mode.FULL and not run.position.endless:
        stake = holds.count_absences(session, run, missing, limits=limits)
        if stake is not None:
            _hold(session, run, stake)
            return Finish.HELD
        run.outcomes["absent"] = deletions.ask_about(session, ENTITIES[run.entity], missing, run)
        unconfirmed.resolve_unconfirmed(session, ENTITIES[run.entity], run_id=run.id, listed_all=True)
        type_changes.heal(session, ENTITIES[run.entity])
        list_anomalies.resolve_unseen(session, run)
        drift.look_for_gone(session, ENTITIES[run.entity], run_id=run.id)
    if run.position.reached and not run.position.sorted and not unsure:
        progress.advance(session, run.entity, run.position.reached, run_id=run.id)
    runs.complete(session, run, list_anomalies.told_end(run, unsure))
    return Finish.COMPLETED


MOVE = text("""
update tds_sync_runs set position = cast(:position as jsonb)
where id = :id and lease_token = :token and cancel_requested_at is null returning id
""")


def _spell(position: Position) -> str:
    return msgspec.json.encode(position.as_json()).decode()


REPORT = text("update tds_sync_runs set report = cast(:report as jsonb) where id = :id and lease_token = :token")


def _end_dry_run(session: Session, run: RunLease, unsure: str) -> None:
    if run.asked["full"] and not run.position.endless:
        dry_run.look_for_absent(session, run)
    session.execute(REPORT, {"id": run.id, "token": run.token, "report": dry_run.spell(run.report)})
    runs.complete(session, run, f"{list_anomalies.told_end(run, unsure)}; nothing was changed")


def _hold(session: Session, run: RunLease, stake: ChangeCount, call_count: int = 0) -> None:
    held = holds.hold(
        session,
        run,
        stake.kind,
        reason=stake.reason,
        record_count=stake.record_count,
        preview=stake.preview,
        call_count=call_count,
    )
    if not held:
        runs.settle_cancelled(session, run)


def isolate_bad_rows(session: Session, entity: Entity, prepared: PageDiff) -> PageDiff:
    """The page with the records the database refuses among the invalid ones. Every trial is taken back."""
    tried = [*prepared.candidates, *(prepared.creation.candidates if prepared.creation else ())]
    refused = {each.source_id: error for each in tried if (error := _refusal(session, entity, each))}
    return replace(
        prepared,
        creation=None,
        candidates=[each for each in tried if each.source_id not in refused],
        invalid=[*prepared.invalid, *refused.items()],
    )


def _refusal(session: Session, entity: Entity, candidate: Candidate) -> InvalidRecordError | None:
    trial = session.begin_nested()
    try:
        apply(session, entity, [candidate])
    except DBAPIError as error:
        if not refuses(error):
            raise
        return InvalidRecordError(str(named(error)))
    finally:
        if trial.is_active:
            trial.rollback()
    return None
