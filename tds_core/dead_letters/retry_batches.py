"""Retry batches: many dead letters retried on one request, throttled and cancellable, some at every step."""

from dataclasses import dataclass
from uuid import uuid4

import msgspec
import structlog
from sqlalchemy import insert, literal, select, text
from sqlalchemy.dialects.postgresql import insert as insert_unless
from sqlalchemy.orm import Session

from tds_core.dead_letters.preview import Selection
from tds_core.dead_letters.retry import SelectionChangedError, lock_dead_letters, requeue
from tds_core.errors import NotFoundError
from tds_models.dead_letters import DeadLetter, DeadLetterRetry, DeadLetterRetryBatch

log = structlog.get_logger(__name__)

# A late step makes up for at most so much, so that after an outage retries go on steadily, not all at once.
MOST_SECONDS = 5.0
# Few enough to hold their locks briefly.
MOST_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class RetryBatch:
    """A retry batch that was begun."""

    id: int
    letter_count: int


def request_batch(
    session: Session,
    selection: Selection,
    *,
    by: str,
    per_minute: int,
    expected_count: int | None = None,
    correlation_id: str = "",
) -> RetryBatch:
    """Retry the dead letters of `selection`, at most `per_minute`; later ones are not added to the batch.

    `expected_count`: how many a preview showed. Raises SelectionChangedError when they are not as many, and
    EmptySelectionError.
    """
    conditions = selection.conditions()
    row = {
        "requested_by": by,
        "asked": msgspec.to_builtins(selection.criteria()),
        "letter_count": 0,
        "per_minute": per_minute,
        "correlation_id": correlation_id or str(uuid4()),
    }
    batch_id = int(
        session.execute(insert(DeadLetterRetryBatch).values(row).returning(DeadLetterRetryBatch.id)).scalar_one()
    )
    died_of = DeadLetter.error_class + ": " + DeadLetter.error
    letters = select(DeadLetter.id, literal(batch_id), literal(by), died_of).where(*conditions)
    columns = ["letter_id", "batch_id", "requested_by", "died_of"]
    # The most urgent go first, then those that wait longest.
    ordered = letters.order_by(DeadLetter.priority, DeadLetter.dead_at, DeadLetter.id)
    begun = session.execute(
        insert_unless(DeadLetterRetry)
        .from_select(columns, ordered)
        .on_conflict_do_nothing()
        .returning(DeadLetterRetry.id)
    ).all()
    if expected_count is not None and expected_count != len(begun):
        raise SelectionChangedError(
            f"{len(begun)} letters are meant now, {expected_count} were expected. Look again: "
            "tds dead-letter retry --preview"
        )
    session.execute(COUNTED, {"id": batch_id, "count": len(begun)})
    log.info("dead_letter_batch_requested", batch_id=batch_id, operator=by, letter_count=len(begun))
    return RetryBatch(batch_id, len(begun))


COUNTED = text("update tds_dead_letter_batches set letter_count = :count where id = :id")

# A batch that another process is stepping is skipped.
OPEN = text("""
select id, per_minute, correlation_id,
       extract(epoch from clock_timestamp() - stepped_at)::float8 as seconds
from tds_dead_letter_batches where ended_at is null and cancelled_at is null order by id for update skip locked
""")

NEXT = text("""
select letter_id from tds_dead_letter_revivals
where batch_id = :batch and revived_at is null and ended_at is null order by id limit :count
""")

MARK = text("""
update tds_dead_letter_revivals set revived_at = clock_timestamp()
where batch_id = :batch and letter_id = any(:letters) and revived_at is null and ended_at is null
""")

STEPPED = text("update tds_dead_letter_batches set stepped_at = clock_timestamp() where id = :id")

ENDED = text("""
update tds_dead_letter_batches b set ended_at = clock_timestamp()
where b.ended_at is null and not exists (
    select from tds_dead_letter_revivals r where r.batch_id = b.id and r.ended_at is null)
""")


def step(session: Session) -> int:
    """Retry as many dead letters of each open batch as its rate allows by now. Returns how many.

    They are marked and enqueued in one transaction: a process killed in between has done neither.
    """
    total = 0
    for batch in session.execute(OPEN).all():
        count = _allowed(batch.per_minute, batch.seconds)
        letters = list(session.execute(NEXT, {"batch": batch.id, "count": count}).scalars()) if count else []
        if letters:
            requeue(session, lock_dead_letters(session, letters), correlation_id=batch.correlation_id)
            session.execute(MARK, {"batch": batch.id, "letters": letters})
            session.execute(STEPPED, {"id": batch.id})
            total += len(letters)
    session.execute(ENDED)
    return total


def _allowed(per_minute: int, seconds: float) -> int:
    most = max(1, int(per_minute * MOST_SECONDS / 60))
    return min(MOST_AT_ONCE, most, int(per_minute * seconds / 60))


CANCEL = text("""
update tds_dead_letter_batches set cancelled_at = now(), cancelled_by = :by
where id = :id and ended_at is null and cancelled_at is null returning id
""")

CANCEL_LETTERS = text("""
update tds_dead_letter_revivals set ended_at = clock_timestamp(), outcome = 'cancelled'
where batch_id = :id and revived_at is null and ended_at is null
""")


def cancel_batch(session: Session, batch_id: int, *, by: str) -> int:
    """Retry no more dead letters of a batch; those enqueued before go on. Returns how many were left out.

    Raises NotFoundError.
    """
    if batch_id >= 2**63 or session.get(DeadLetterRetryBatch, batch_id) is None:
        raise NotFoundError(f"There is no batch {batch_id}.")
    if session.execute(CANCEL, {"id": batch_id, "by": by}).first() is None:
        return 0
    cancelled = int(getattr(session.execute(CANCEL_LETTERS, {"id": batch_id}), "rowcount", 0))
    log.info("dead_letter_batch_cancelled", batch_id=batch_id, operator=by, letter_count=cancelled)
    return cancelled
