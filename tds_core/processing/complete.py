"""Batch completion: rows, history, event verdicts and the end of work items, in the caller's one transaction."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.backoff import backoff_seconds
from tds_core.dead_letters import burial
from tds_core.errors import InvalidRecordError, SourceError, TdsError, TransientError
from tds_core.processing import related_entities
from tds_core.processing.related_entities import enqueue_dependents
from tds_core.quality import future_timestamps
from tds_core.queue import items as queue_items
from tds_core.queue.items import Claim, Item
from tds_core.queue.retry_policy import FailureHistory, RetryOutcome, code_of, decide_retry
from tds_core.records import schema_drift
from tds_core.records.apply import Applied
from tds_core.records.compare import RowOutcome
from tds_core.records.row_lock_waits import LockedError, wait_seconds
from tds_core.records.transform import Candidate, RecordView
from tds_core.sync import entity_moves, partial_rows, unconfirmed_records
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.inbox import Verdict

#: The longest wait of a record that is overtaken again and again, because a clock was set back.
MOST_OVERTAKEN_SECONDS = 120.0


class OvertakenError(TdsError):
    """The mirror row changed while the record was being read: what was read may be older."""

    code = "overtaken"
    retriable = True


@dataclass(frozen=True, slots=True)
class EventEnd:
    """How an item ended: the event that was applied, if any, and the reason shown beside its verdict."""

    item: Item
    outcome: RowOutcome
    event_id: int | None
    reason: str | None = None


@dataclass(slots=True)
class Completion:
    """How a batch ended: records by outcome, what still has to be read, and how fresh the rows were.

    `freshness_seconds`: for each event that got its status, the time since it was received. `ends`: for each item that
    ended here, the fields of its log line, written after the commit. `waits`: the locks that items wait for.
    """

    counts: Counter[str] = field(default_factory=Counter)
    to_read: list[Item] = field(default_factory=list)
    freshness_seconds: list[float] = field(default_factory=list)
    ends: list[dict[str, Any]] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)

    def add(self, other: "Completion") -> None:
        """Add the counts of another part of the batch."""
        self.counts.update(other.counts)
        self.to_read += other.to_read
        self.freshness_seconds += other.freshness_seconds
        self.ends += other.ends
        self.waits += other.waits


def complete_batch(
    session: Session,
    claim: Claim,
    *,
    candidates: Mapping[str, Candidate],
    failures: Mapping[str, Exception],
    max_attempts: int,
    jitter: Callable[[], float],
) -> Completion:
    """Apply `candidates` and record `failures` (both by source id) of `claim`, for the items still leased to it.

    An item whose webhook body does not suffice is returned in `to_read`, still leased. `jitter` returns a number in
    [0, 1). Records whose rows another transaction has locked are put off. Raises `LockedError` when a table is locked.
    """
    completion = Completion()
    entity = ENTITIES[claim.entity]
    # The mirror before the queue: receiving webhooks needs the queue's rows, so a transaction that holds them must not
    # wait for long.
    locked_rows = related_entities.lock_all(session, entity, candidates)
    own_rows = locked_rows[entity.name]
    failures = {**failures, **own_rows.blocked}
    concerned = [item for item in claim.items if item.source_id in candidates or item.source_id in failures]
    held = {item.source_id: item for item in queue_items.fence(session, claim, concerned)}
    ready = [candidates[key] for key in held if key in candidates and key not in own_rows.blocked]
    cut_short = partial_rows.find_cut_short(session, entity, ready)
    marked = [replace(each, partial=True) if each.source_id in cut_short else each for each in ready]
    sorted_candidates = unconfirmed_records.sort_candidates(session, entity, marked, own_rows.rows)
    result = related_entities.apply_to_all(session, entity, sorted_candidates.to_apply, locked_rows)
    applied = [*result.own, *sorted_candidates.doubtful]
    ended = [each for each in applied if each.outcome is not RowOutcome.REFETCH]
    _finish(session, claim, held, [*ended, *sorted_candidates.settled], completion, reason=sorted_candidates.reason)
    _enqueue_as_bulk(session, entity, [each for each in ended if cut_short.get(each.candidate.source_id)])
    unconfirmed_records.note_unconfirmed(session, entity, [*ended, *sorted_candidates.settled], sorted_candidates)
    entity_moves.follow(session, entity, [*ended, *sorted_candidates.settled])
    related_entities.finish_answered(session, claim, result)
    if any(held[each.candidate.source_id].snoozes for each in ended) and own_rows.has_open_findings:
        future_timestamps.resolve_clock(session, entity)
    if ended and not claim.bulk:  # after bulk reading the next pass over the dependents is enough
        enqueue_dependents(
            session, entity, ended, siblings=result, correlation_id=ended[0].candidate.provenance.correlation_id
        )
    _refetch(session, claim, held, [each for each in applied if each.outcome is RowOutcome.REFETCH], completion)
    failed = [(held[key], error) for key, error in failures.items() if key in held]
    waiting = [(item, error) for item, error in failed if isinstance(error, LockedError)]
    _put_off_locked(session, claim, waiting, completion, jitter=jitter)
    failed = [(item, error) for item, error in failed if not isinstance(error, LockedError)]
    _record_failures(session, claim, failed, completion, max_attempts=max_attempts, jitter=jitter)
    _check_drift(session, entity, applied, failed)
    return completion


def _check_drift(
    session: Session, entity: Entity, applied: Sequence[Applied], failed: Sequence[tuple[Item, Exception]]
) -> None:
    """Check the details that were read for schema drift."""
    read = [each.candidate.drift_record for each in applied if each.candidate.drift_record is not None]
    broken = [error.record for _, error in failed if isinstance(error, InvalidRecordError) and error.record is not None]
    broken += [
        each.candidate.drift_record
        for each in applied
        if each.candidate.flaws and each.candidate.drift_record is not None
    ]
    if read or broken:
        schema_drift.notice(session, entity, RecordView.DETAIL, read, broken=broken)


def _finish(
    session: Session,
    claim: Claim,
    held: Mapping[str, Item],
    ended: Sequence[Applied],
    completion: Completion,
    *,
    reason: Callable[[str], str | None],
) -> None:
    if not ended:
        return
    items = [held[each.candidate.source_id] for each in ended]
    queue_items.finish(session, claim, items)
    outcomes = {each.candidate.source_id: each.outcome for each in ended}
    burial.resolve(session, source=claim.source, entity=claim.entity, outcomes=outcomes)
    queue_items.log_attempts(
        session, claim, [queue_items.succeeded_attempt(item, outcomes[item.source_id]) for item in items]
    )
    completion.counts.update(outcomes.values())
    completion.ends += [_end(each.candidate, each.outcome) for each in ended]
    completion.freshness_seconds += end_events(
        session,
        claim,
        [
            EventEnd(item, each.outcome, each.candidate.provenance.id, reason(item.source_id))
            for item, each in zip(items, ended, strict=True)
        ],
    )


def _enqueue_as_bulk(session: Session, entity: Entity, ended: Sequence[Applied]) -> None:
    """Have records read as bulk work of which a partial body was applied; what an operator wrote stands."""
    by_correlation_id: dict[str, list[str]] = {}
    for each in ended:
        if each.outcome is not RowOutcome.STALE and each.candidate.provenance.origin != "operator":
            by_correlation_id.setdefault(each.candidate.provenance.correlation_id, []).append(each.candidate.source_id)
    for correlation_id, source_ids in sorted(by_correlation_id.items(), key=lambda group: min(group[1])):
        queue_items.enqueue(session, entity=entity.name, source_ids=source_ids, origin="webhook", bulk=True,
                      correlation_id=correlation_id)  # fmt: skip


def _refetch(
    session: Session, claim: Claim, held: Mapping[str, Item], again: Sequence[Applied], completion: Completion
) -> None:
    """Have records read whose webhook body did not suffice, under the same lease; put overtaken readings back."""
    overtaken = []
    for each in again:
        item = held[each.candidate.source_id]
        if each.candidate.view is RecordView.BODY:
            completion.to_read.append(item)
        else:
            delay = overtaken_seconds(item.snoozes)
            error = OvertakenError("changed while it was being read")
            overtaken.append(_back_row(item, delay, uncounted=True, error=error))
            completion.counts["overtaken"] += 1
    queue_items.put_back(session, claim, overtaken)
    repeatedly = [key for key in held if held[key].snoozes and key in {each.candidate.source_id for each in again}]
    if repeatedly:
        future_timestamps.report_clock_set_back(session, ENTITIES[claim.entity], repeatedly)


def overtaken_seconds(snoozes: int) -> float:
    """How long an overtaken reading waits: not at all the first time, then twice as long each time."""
    return backoff_seconds(snoozes, first=1.0, longest=MOST_OVERTAKEN_SECONDS) if snoozes else 0.0


def _put_off_locked(
    session: Session,
    claim: Claim,
    waiting: Sequence[tuple[Item, LockedError]],
    completion: Completion,
    *,
    jitter: Callable[[], float],
) -> None:
    """Put off records whose rows are locked: no attempt counts, no line is logged, the webhook body stays valid."""
    if waiting:
        completion.counts[RetryOutcome.SNOOZE] += len(waiting)
        completion.waits.append(str(waiting[0][1]))
        back = [
            {
                **_back_row(item, wait_seconds(item.snoozes, jitter()), uncounted=True, error=error),
                "must_read": False,
            }
            for item, error in waiting
        ]
        queue_items.put_back(session, claim, back)


def _record_failures(
    session: Session,
    claim: Claim,
    failed: Sequence[tuple[Item, Exception]],
    completion: Completion,
    *,
    max_attempts: int,
    jitter: Callable[[], float],
) -> None:
    back, letters, dead, logged = [], [], [], []
    for item, error in failed:
        decision = decide_retry(error, _history(item), max_attempts=max_attempts, jitter=jitter())
        completion.counts[decision.outcome] += 1
        logged.append(queue_items.failed_attempt(item, decision.outcome, error))
        completion.ends.append(_end(item, decision.outcome, error=code_of(error), attempt=item.attempts))
        if decision.outcome is RetryOutcome.DEAD:
            dead.append(item)
            letters.append(_dead_letter(item, error))
        else:
            back.append(
                _back_row(item, decision.delay_seconds, uncounted=decision.outcome is RetryOutcome.SNOOZE, error=error)
            )
    queue_items.put_back(session, claim, back)
    burial.bury(session, source=claim.source, entity=claim.entity, letters=letters)
    queue_items.finish(session, claim, dead)  # an item enqueued again in the meantime stays
    queue_items.log_attempts(session, claim, logged)


def _end(subject: Item | Candidate, outcome: str, **more: object) -> dict[str, Any]:
    """The log fields of an item's end, under the correlation id of the event that was applied, or of the item."""
    correlation_id = subject.provenance.correlation_id if isinstance(subject, Candidate) else subject.correlation_id
    return {"source_id": subject.source_id, "outcome": str(outcome), "correlation_id": correlation_id, **more}


def _history(item: Item) -> FailureHistory:
    return FailureHistory(attempts=item.attempts, failures=item.failures, failed_seconds=item.failed_seconds)


def _back_row(item: Item, delay: float, *, uncounted: bool, error: Exception) -> dict[str, Any]:
    return {
        "id": item.id,
        "delay": delay,
        "uncounted": int(uncounted),
        "failed": isinstance(error, TransientError),
        "waits_for": error.waits_for if isinstance(error, SourceError) else "",
        "must_read": True,
        "error": str(error)[:500],
    }


def _dead_letter(item: Item, error: Exception) -> dict[str, Any]:
    return {
        "source_id": item.source_id,
        "error_class": code_of(error),
        "error": str(error)[:2000],
        "attempts": item.attempts,
        "priority": item.priority,
        "correlation_id": item.correlation_id,
        "generation": item.generation,
    }


VERDICTS = {
    RowOutcome.CREATED: Verdict.APPLIED,
    RowOutcome.UPDATED: Verdict.APPLIED,
    RowOutcome.RESTORED: Verdict.APPLIED,
    RowOutcome.UNCHANGED: Verdict.UNCHANGED,
    RowOutcome.STALE: Verdict.STALE,
    RowOutcome.DELETED: Verdict.DELETED,
}

# The event that was applied (or, when the record was read, the newest one) carries the outcome; the others were
# overtaken by it. `offset 0` keeps the look for each record's events by itself: joined, they are taken for many by a
# planner whose statistics of the whole partitioned table are missing, or a day old, and all events would be read.
END_EVENTS = text("""
with given as (
    select * from jsonb_to_recordset(cast(:rows as jsonb)) as r(
        source_id text, generation bigint, verdict text, chosen bigint, reason text)
), open as (
    select e.id, e.received_at, g.verdict, g.reason,
           coalesce(g.chosen, max(e.id) over (partition by g.source_id)) as chosen
    from given g cross join lateral (
        select i.id, i.received_at from tds_inbox_events i
        where i.source = :source and i.entity = :entity and i.source_id = g.source_id and i.verdict is null
          and i.generation <= g.generation
        offset 0
    ) e
)
update tds_inbox_events e
set verdict = case when o.id = o.chosen then o.verdict else 'superseded' end, verdict_at = clock_timestamp(),
    verdict_reason = case when o.id = o.chosen then o.reason end
from open o where e.id = o.id and e.received_at = o.received_at
returning extract(epoch from clock_timestamp() - e.received_at)::float8
""")


def end_events(session: Session, claim: Claim, ended: Sequence[EventEnd]) -> list[float]:
    """Give the open events of finished items their verdicts. Returns each event's age in seconds."""
    rows = [
        {
            "source_id": each.item.source_id,
            "generation": each.item.generation,
            "verdict": VERDICTS[each.outcome],
            "chosen": each.event_id,
            "reason": each.reason,
        }
        for each in ended
    ]
    params = {"source": claim.source, "entity": claim.entity, "rows": msgspec.json.encode(rows).decode()}
    return list(session.execute(END_EVENTS, params).scalars())
