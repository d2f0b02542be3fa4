"""Settling: rows, history, verdicts and the end of the work items, in the caller's one transaction."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.orm import Session

from tds_core.dead_letters import store
from tds_core.errors import InvalidRecordError, SourceError, TdsError, TransientError
from tds_core.processing import event_status, siblings
from tds_core.processing.dependents import enqueue_dependents
from tds_core.quality import clock_skew
from tds_core.queue import attempts
from tds_core.queue import items as queue_items
from tds_core.queue.items import Claim, Item
from tds_core.queue.retry_policy import FailureHistory, RetryOutcome, code_of, decide_retry
from tds_core.records import drift
from tds_core.records.apply import Applied
from tds_core.records.compare import RowOutcome
from tds_core.records.row_locks import LockedError, wait_seconds
from tds_core.records.transform import Candidate, Evidence
from tds_core.sync import partial_rows, type_changes, unconfirmed
from tds_models.entities import ENTITIES
from tds_models.entities.base import Entity

#: A record that is overtaken again and again, because a clock was set back, is read no more often than this.
MOST_OVERTAKEN_SECONDS = 120.0


class OvertakenError(TdsError):
    """The record was changed here while it was being read: what was read may be older."""

    code = "overtaken"
    retriable = True


@dataclass(slots=True)
class Completion:
    """How a batch ended: records by outcome or fate, what still has to be read, and how fresh the rows were.

    `freshness_seconds`: for each event that got its verdict, the time since it was received. `ends`: for each item that
    ended here, what a log line should say once the transaction is committed. `waits`: for whose locks others wait.
    """

    counts: Counter[str] = field(default_factory=Counter)
    to_read: list[Item] = field(default_factory=list)
    freshness_seconds: list[float] = field(default_factory=list)
    ends: list[dict[str, Any]] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)

    def add(self, other: "Completion") -> None:
        """Count what another part of the batch came to as well."""
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
    """Apply `candidates` and settle `failures` (both by source id) of `claim`, for the items that are still ours.

    An item whose body cannot tell is returned in `to_read`, still leased. `chance` gives the jitter, in [0, 1).
    Rows that somebody else has locked wait, and nobody waits for them. Raises `LockedError` when a whole table is.
    """
    settlement = Completion()
    entity = ENTITIES[claim.entity]
    # The mirror before the queue: the intake needs the queue's rows, so nobody who holds them may wait for long.
    standings = siblings.hold_all(session, entity, candidates)
    standing = standings[entity.name]
    failures = {**failures, **standing.locked}
    concerned = [item for item in claim.items if item.source_id in candidates or item.source_id in failures]
    held = {item.source_id: item for item in queue_items.fence(session, claim, concerned)}
    ready = [candidates[key] for key in held if key in candidates and key not in standing.locked]
    short = partial_rows.cut_short(session, entity, ready)
    marked = [replace(each, partial=True) if each.source_id in short else each for each in ready]
    sorted_out = unconfirmed.sort_candidates(session, entity, marked, standing.rows)
    told = siblings.apply_to_all(session, entity, sorted_out.to_apply, standings)
    applied = [*told.own, *sorted_out.doubtful]
    ended = [each for each in applied if each.outcome is not RowOutcome.REFETCH]
    _finish(session, claim, held, [*ended, *sorted_out.settled], settlement, reason=sorted_out.reason)
    _read_at_leisure(session, entity, [each for each in ended if short.get(each.candidate.source_id)])
    unconfirmed.note_unconfirmed(session, entity, [*ended, *sorted_out.settled], sorted_out)
    type_changes.follow(session, entity, [*ended, *sorted_out.settled])
    siblings.finish_answered(session, claim, told)
    if any(held[each.candidate.source_id].snoozes for each in ended) and standing.any_open:
        clock_skew.resolve_clock(session, entity)
    if ended and not claim.bulk:  # what was read in bulk is left to the next pass over those it feeds
        enqueue_dependents(
            session, entity, ended, told=told, correlation_id=ended[0].candidate.provenance.correlation_id
        )
    _look_again(session, claim, held, [each for each in applied if each.outcome is RowOutcome.REFETCH], settlement)
    failed = [(held[key], error) for key, error in failures.items() if key in held]
    waiting = [(item, error) for item, error in failed if isinstance(error, LockedError)]
    _wait(session, claim, waiting, settlement, jitter=jitter)
    failed = [(item, error) for item, error in failed if not isinstance(error, LockedError)]
    _fail(session, claim, failed, settlement, max_attempts=max_attempts, jitter=jitter)
    _notice(session, entity, applied, failed)
    return settlement


def _notice(
    session: Session, entity: Entity, applied: Sequence[Applied], failed: Sequence[tuple[Item, Exception]]
) -> None:
    """Look whether the details that were read are still what the declarations say."""
    read = [each.candidate.said for each in applied if each.candidate.said is not None]
    broken = [error.record for _, error in failed if isinstance(error, InvalidRecordError) and error.record is not None]
    broken += [each.candidate.said for each in applied if each.candidate.flaws and each.candidate.said is not None]
    if read or broken:
        drift.notice(session, entity, Evidence.DETAIL, read, broken=broken)


def _finish(
    session: Session,
    claim: Claim,
    held: Mapping[str, Item],
    ended: Sequence[Applied],
    settlement: Completion,
    *,
    reason: Callable[[str], str | None],
) -> None:
    if not ended:
        return
    items = [held[each.candidate.source_id] for each in ended]
    queue_items.finish(session, claim, items)
    outcomes = {each.candidate.source_id: each.outcome for each in ended}
    store.resolve(session, source=claim.source, entity=claim.entity, outcomes=outcomes)
    attempts.log(session, claim, [attempts.ended(item, outcomes[item.source_id]) for item in items])
    settlement.counts.update(outcomes.values())
    settlement.ends += [_end(each.candidate, each.outcome) for each in ended]
    settlement.freshness_seconds += event_status.end_events(
        session,
        claim,
        [
            event_status.Ended(item, each.outcome, each.candidate.provenance.id, reason(item.source_id))
            for item, each in zip(items, ended, strict=True)
        ],
    )


def _read_at_leisure(session: Session, entity: Entity, ended: Sequence[Applied]) -> None:
    """What a partial body that was applied did not mention is read behind all that is urgent; what a person wrote
    stands.
    """
    threads: dict[str, list[str]] = {}
    for each in ended:
        if each.outcome is not RowOutcome.STALE and each.candidate.provenance.origin != "operator":
            threads.setdefault(each.candidate.provenance.correlation_id, []).append(each.candidate.source_id)
    for correlation_id, source_ids in sorted(threads.items(), key=lambda thread: min(thread[1])):
        queue_items.enqueue(session, entity=entity.name, source_ids=source_ids, origin="webhook", bulk=True,
                      correlation_id=correlation_id)  # fmt: skip


def _look_again(
    session: Session, claim: Claim, held: Mapping[str, Item], again: Sequence[Applied], settlement: Completion
) -> None:
    """A body that cannot tell is read under the same lease; a reading that was overtaken goes round again."""
    overtaken = []
    for each in again:
        item = held[each.candidate.source_id]
        if each.candidate.seen is Evidence.BODY:
            settlement.to_read.append(item)
        else:
            delay = overtaken_seconds(item.snoozes)
            error = OvertakenError("changed while it was being read")
            overtaken.append(_back(item, delay, uncounted=True, error=error))
            settlement.counts["overtaken"] += 1
    queue_items.put_back(session, claim, overtaken)
    repeatedly = [key for key in held if held[key].snoozes and key in {each.candidate.source_id for each in again}]
    if repeatedly:
        clock_skew.look(session, ENTITIES[claim.entity], repeatedly)


def overtaken_seconds(snoozes: int) -> float:
    """How long a reading rests that was overtaken: not at all the first time, then twice as long each time."""
    return min(MOST_OVERTAKEN_SECONDS, 2.0**snoozes) if snoozes else 0.0


def _wait(
    session: Session,
    claim: Claim,
    waiting: Sequence[tuple[Item, LockedError]],
    settlement: Completion,
    *,
    jitter: Callable[[], float],
) -> None:
    """Put off what waits for somebody's lock: no attempt, no line in anybody's log, the body as good as it was."""
    if waiting:
        settlement.counts[RetryOutcome.SNOOZE] += len(waiting)
        settlement.waits.append(str(waiting[0][1]))
        back = [
            {**_back(item, wait_seconds(item.snoozes, jitter()), uncounted=True, error=error), "must_read": False}
            for item, error in waiting
        ]
        queue_items.put_back(session, claim, back)


def _fail(
    session: Session,
    claim: Claim,
    failed: Sequence[tuple[Item, Exception]],
    settlement: Completion,
    *,
    max_attempts: int,
    jitter: Callable[[], float],
) -> None:
    back, letters, dead, logged = [], [], [], []
    for item, error in failed:
        decided = decide_retry(error, _past(item), max_attempts=max_attempts, jitter=jitter())
        settlement.counts[decided.fate] += 1
        logged.append(attempts.failed(item, decided.fate, error))
        settlement.ends.append(_end(item, decided.fate, error=code_of(error), attempt=item.attempts))
        if decided.fate is RetryOutcome.DEAD:
            dead.append(item)
            letters.append(_letter(item, error))
        else:
            back.append(_back(item, decided.delay_seconds, uncounted=decided.fate is RetryOutcome.SNOOZE, error=error))
    queue_items.put_back(session, claim, back)
    store.bury(session, source=claim.source, entity=claim.entity, letters=letters)
    queue_items.finish(session, claim, dead)  # what was asked for in the meantime goes round again
    attempts.log(session, claim, logged)


def _end(subject: Item | Candidate, outcome: str, **more: object) -> dict[str, Any]:
    """An end as the log says it, under the correlation id of the event that was applied, or of the item."""
    thread = subject.provenance.correlation_id if isinstance(subject, Candidate) else subject.correlation_id
    return {"source_id": subject.source_id, "outcome": str(outcome), "correlation_id": thread, **more}


def _past(item: Item) -> FailureHistory:
    return FailureHistory(attempts=item.attempts, failures=item.failures, failed_seconds=item.failed_seconds)


def _back(item: Item, delay: float, *, uncounted: bool, error: Exception) -> dict[str, Any]:
    return {
        "id": item.id,
        "delay": delay,
        "uncounted": int(uncounted),
        "failed": isinstance(error, TransientError),
        "waits_for": error.waits_for if isinstance(error, SourceError) else "",
        "must_read": True,
        "error": str(error)[:500],
    }


def _letter(item: Item, error: Exception) -> dict[str, Any]:
    return {
        "source_id": item.source_id,
        "error_class": code_of(error),
        "error": str(error)[:2000],
        "attempts": item.attempts,
        "priority": item.priority,
        "correlation_id": item.correlation_id,
        "generation": item.generation,
    }
