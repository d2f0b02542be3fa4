"""The per-entity tasks `tds.sync.<entity>`: each claims, syncs and completes batches until nothing is due.

One batch: claim and commit; apply the records of webhooks; read the others outside any transaction; apply those.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from tds_core.auth.action_log import callers_by_correlation_id
from tds_core.database_errors import is_away
from tds_core.errors import SNOOZE, PermissionMissingError, QuotaError, RateError, SourceError
from tds_core.observability import metrics
from tds_core.observability.slow_operations import slow
from tds_core.processing.complete import Completion
from tds_core.processing.fetch_results import interpret_fetch
from tds_core.quality.future_timestamps import Clock
from tds_core.queue import claim as queue_claim
from tds_core.queue import items as queue_items
from tds_core.queue.items import Claim, Item
from tds_core.queue.webhook_body_selection import Event, bodies, pending_events
from tds_core.records import schema_drift
from tds_core.records.apply import try_lock_rows
from tds_core.records.row_lock_waits import LockedError
from tds_core.records.transform import FORCED, RecordView
from tds_core.sources import missing_permissions, rate_limit_pause
from tds_core.sources.base import FetchResult, Traffic
from tds_core.sources.missing_permissions import PermissionStatus
from tds_core.sync import partial_rows, unconfirmed_records
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Stream
from tds_tasks import task_results, worker_nudges
from tds_tasks.app import app
from tds_tasks.context import is_elsewhere, scope, settings, source, worker_slots
from tds_tasks.crash_isolation import run_isolated
from tds_tasks.work_batch_commit import OUTAGES, commit_batch, served, table_held, traced
from tds_tasks.worker.lease_holder_liveness import beating, worker_name

log = structlog.get_logger(__name__)

# Records without a batch call are read one by one; a commit after so many keeps those that were read.
SINGLE_READS = 20
# Bulk work frees its worker after so many seconds, and reads fewer records at a time, so that urgent work waits less.
BULK_SECONDS, BULK_READS = 2.0, 5
# The origins of work that an operator requested.
FOR_OPERATORS = frozenset({"operator", "revive", FORCED})
# How long the items of a batch wait after an outage.
RELEASE_SECONDS = 1.0
# How long they wait after a bug: long enough not to spin, short enough that a fixed worker takes them soon.
FAULT_SECONDS = 60.0


def sync_batch(entity: str) -> Claim | None:
    """Sync one batch of due work of `entity`. Returns its claim, `None` when nothing was due."""
    if is_elsewhere():
        return None
    began = time.monotonic()
    chosen = settings()
    # One slot at least stays free for urgent work.
    bulk_workers = max(1, worker_slots().count() - 1)
    with scope() as session:
        claim = queue_claim.claim(
            session,
            entity=entity,
            limit=chosen.claim_size,
            lease_seconds=chosen.lease_seconds,
            worker=worker_name(),
            bulk_workers=bulk_workers,
        )
        events = pending_events(session, claim) if claim else {}
        if claim and (asked := [each.correlation_id for each in claim.items if each.origin in FOR_OPERATORS]):
            claim = replace(claim, callers=callers_by_correlation_id(session, asked))
    if claim is None:
        return None
    task_results.count_events(event.id for each in events.values() for event in each)

    def sync_part(part: Claim) -> None:
        _work_out(part, lambda: _bring_over(part, events))

    # One call to the source serves many records; the batch id connects its log lines with those of the items.
    with structlog.contextvars.bound_contextvars(batch=str(claim.token)), traced(claim, events):
        if claim.is_suspect:
            _work_out(claim, lambda: run_isolated(claim, sync_part))
        else:
            sync_part(claim)
        seconds = time.monotonic() - began
        log.info("sync_batch_completed", entity=entity, item_count=len(claim.items), duration_seconds=round(seconds, 3))
    metrics.sync_seconds.labels(entity, "webhook").observe(seconds)
    slow.observe("batch", seconds, entity=entity, item_count=len(claim.items))
    return claim


def _clock(now: datetime) -> Clock:
    """The database's clock, which stands in for the source's where the source did not state its time."""
    return Clock(now, timedelta(seconds=settings().clock_tolerance_seconds))


def _work_out(claim: Claim, work: Callable[[], None]) -> None:
    """Do `work` and catch what it raises: then `claim` is released."""
    try:
        work()
    except OUTAGES as error:
        if not is_away(error):
            log.warning("sync_batch_interrupted", entity=claim.entity, error=type(error).__name__)
        _release(claim, RELEASE_SECONDS)
    except Exception:  # a bug must neither make dead letters of the records nor spin on them
        log.exception("sync_batch_failed", entity=claim.entity)
        _release(claim, FAULT_SECONDS)


def _bring_over(claim: Claim, events: Mapping[str, Sequence[Event]]) -> None:
    """Apply the records of webhooks, and read the other ones."""
    candidates, to_read = bodies(ENTITIES[claim.entity], claim.items, events, clock=_clock(claim.claimed_at))
    settlement = commit_batch(claim, candidates=candidates, failures={}) if candidates else Completion()
    _read_all(claim, [*to_read, *settlement.to_read], events)


def _release(claim: Claim, delay_seconds: float, waits_for: str = "") -> None:
    """Release the items that were not completed, without counting an attempt; if that fails, their leases expire."""
    with suppress(SQLAlchemyError), scope() as session:
        queue_items.release(session, claim, delay_seconds=delay_seconds, waits_for=waits_for)


def _read_all(claim: Claim, items: Sequence[Item], events: Mapping[str, Sequence[Event]]) -> None:
    """Read `items` from the source and commit each chunk; once the source refuses calls, the rest is released."""
    if not items:
        return
    batch = ENTITIES[claim.entity].stream.batch
    size = batch.size if batch else BULK_READS if claim.bulk else SINGLE_READS
    until = time.monotonic() + BULK_SECONDS
    with beating(claim.token):
        for start in range(0, len(items), size):
            held_back = _read_chunk(claim, items[start : start + size], events)
            if held_back:
                _hold_back(claim, held_back)
                return
            if claim.bulk and time.monotonic() > until:
                _release(claim, 0.0)
                return


def _hold_back(claim: Claim, error: SourceError) -> None:
    """Release the items that were not read. After a refusal of the quota all back-fill of the API waits, in order."""
    if not isinstance(error, (RateError, QuotaError)):
        _release(claim, error.after_seconds, error.waits_for)
        return
    with suppress(SQLAlchemyError), scope() as session:
        queue_claim.throttle_backfill(
            session, source=claim.source, api=ENTITIES[claim.entity].stream.api, refusal=error
        )
    _release(claim, 0.0)


def _read_chunk(claim: Claim, chunk: Sequence[Item], events: Mapping[str, Sequence[Event]]) -> SourceError | None:
    """Read and commit `chunk`. Returns the error that held bulk work back, if one did; its items are still leased.

    Bulk work is held back often, so the attempts log gets no line for it.
    """
    ids = [item.source_id for item in chunk]
    stream = ENTITIES[claim.entity].stream
    with scope() as session:
        refused = rate_limit_pause.pause_left(session, claim.source)
        known = missing_permissions.permission_status(session, stream, ids)
        read_at = queue_items.database_clock(session)
        known_keys = schema_drift.known_keys(session, ENTITIES[claim.entity], RecordView.DETAIL)
        shown = partial_rows.shown_in_details(session, ENTITIES[claim.entity])
    locked = _still_locked(claim, chunk)
    asked = [each for each in ids if each not in locked]
    reading = (
        FetchResult(failures=dict.fromkeys(asked, refused))
        if refused or not asked
        else _ask(claim, asked, known, events)
    )
    reading.failures.update(locked)
    held_back: dict[str, SourceError] = {}
    for key, error in list(reading.failures.items()):
        if claim.bulk and isinstance(error, SNOOZE) and error.needs_no_pause and not _is_of_record(error):
            held_back[key] = error
            del reading.failures[key]
    settled = [item for item in chunk if item.source_id not in held_back]
    candidates, failures = interpret_fetch(
        ENTITIES[claim.entity],
        settled,
        reading,
        events,
        read_at=read_at,
        known_keys=known_keys,
        shown=shown,
        clock=_clock(read_at),
    )
    commit_batch(replace(claim, exchanges=reading.exchanges), candidates=candidates, failures=failures)
    return next(iter(held_back.values()), None)


def _still_locked(claim: Claim, chunk: Sequence[Item]) -> Mapping[str, LockedError]:
    """The snoozed items of `chunk` whose rows other transactions still lock: no call is made for them."""
    waited = sorted(item.source_id for item in chunk if item.snoozes)
    if not waited:
        return {}
    try:
        with scope() as session:
            return try_lock_rows(session, ENTITIES[claim.entity], waited).blocked
    except LockedError:
        return dict.fromkeys(waited, table_held(claim))


def _traffic(claim: Claim) -> Traffic:
    if claim.bulk:
        return Traffic.BACKFILL
    return Traffic.OPERATOR if all(item.origin in FOR_OPERATORS for item in claim.items) else Traffic.LIVE


def _ask(
    claim: Claim, ids: Sequence[str], known: PermissionStatus, events: Mapping[str, Sequence[Event]]
) -> FetchResult:
    """Read `ids`, except those that the source is known to refuse now, and store what it refuses and permits."""
    stream = ENTITIES[claim.entity].stream
    waiting = {each: error for each in ids if (error := known.waits(each))}
    asked = [each for each in ids if each not in waiting]
    reading = FetchResult()
    try:
        if asked:
            with served(claim, asked, events):
                reading = source(claim.source).read(stream, asked, traffic=_traffic(claim))
    except SourceError as error:
        reading = FetchResult(failures=dict.fromkeys(asked, error))
    own = _strangers(claim, {**reading.failures, **waiting}, known)
    for each in own.keys() & reading.failures.keys():
        del reading.failures[each]
    _keep_refusals(claim.source, stream, reading, known)
    reading.failures.update({each: error for each, error in waiting.items() if each not in own})
    reading.missing.update(own)
    reading.refused.update(own)
    return reading


def _strangers(claim: Claim, failures: Mapping[str, Exception], known: PermissionStatus) -> Mapping[str, str]:
    """The refused records that only webhooks reported: no work waits for the permission to read them."""
    refusals = {each: error for each, error in failures.items() if isinstance(error, PermissionMissingError)}
    if not refusals:
        return {}
    entity = ENTITIES[claim.entity]
    with scope() as session:
        found = unconfirmed_records.never_shown(session, entity, refusals)
        missing_permissions.clear_refusals(session, entity.stream, known, found, is_module=False)
    return found


def _keep_refusals(name: str, stream: Stream, reading: FetchResult, known: PermissionStatus) -> None:
    """Store the new refusals of the source for all workers, and delete those that no longer hold."""
    snoozes = {id(error): error for error in reading.failures.values() if isinstance(error, SNOOZE)}
    missing = [error for error in snoozes.values() if isinstance(error, PermissionMissingError)]
    others = [error for error in snoozes.values() if not isinstance(error, PermissionMissingError)]
    read = {*reading.records, *reading.missing}
    if not (snoozes or (read and (known.module or known.records))):
        return
    with scope() as session:
        for error in missing:
            missing_permissions.record_refusal(session, name, error)
        for error in others[:1]:
            rate_limit_pause.pause(session, name, error)
        if read:
            missing_permissions.clear_refusals(session, stream, known, read)


def _is_of_record(error: Exception) -> bool:
    """Whether the source refuses one record only; the others go on."""
    return isinstance(error, PermissionMissingError) and bool(error.source_id)


# One nudge serves an entity for so many seconds; after that other entities get their turn.
BUDGET_SECONDS = 1.0


def drain(entity: str, *, budget_seconds: float = BUDGET_SECONDS) -> int:
    """Sync due work of `entity` until none is left or the time is up. Returns how many items were claimed."""
    until = time.monotonic() + budget_seconds
    total = 0
    while time.monotonic() < until:
        try:
            claim = sync_batch(entity)
        except OUTAGES as error:
            if not is_away(error):
                log.warning("claim_interrupted", entity=entity, error=type(error).__name__)
            return total
        total += len(claim.items) if claim else 0
        if claim is None or (claim.drained_queue and not claim.bulk):  # bulk work may have been released half read
            return total
    with suppress(*worker_nudges.FAILURES):  # the dispatcher looks too
        worker_nudges.nudge(entity)
    return total


def _register(name: str) -> None:
    @app.task(name=f"tds.sync.{name}", throws=(task_results.WorkFailedError,))
    def sync_entity() -> str:
        with task_results.summarized() as summary:
            drain(name)
        return task_results.ended(summary.sentence(name), failed=summary.has_failures)


for _name in ENTITIES:
    _register(_name)
