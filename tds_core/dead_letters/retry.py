"""Dead-letter retry: a dead letter becomes a work item again, and its events stay open until that ends."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TypedDict, cast
from uuid import uuid4

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import InvalidRecordError, NotFoundError, TdsError
from tds_core.queue import items
from tds_core.queue.webhook_body_selection import EDITED
from tds_core.records.transform import Provenance, RecordView, transform
from tds_models.entities import ENTITIES


class DeadLetterClosedError(TdsError):
    """The dead letter is closed: its record was applied, or an operator resolved it."""

    code = "dead_letter_closed"


class RetryInProgressError(TdsError):
    """The dead letter is being retried already, or waits in a retry batch."""

    code = "dead_letter_being_retried"


class SelectionChangedError(TdsError):
    """The selection matches another number of dead letters than expected."""

    code = "dead_letters_changed"


class EmptySelectionError(TdsError):
    """The selection names no criterion."""

    code = "invalid_arguments"


class InvalidEditError(TdsError):
    """The edited record cannot replace the one of the dead letter."""

    code = "validation"


log = structlog.get_logger(__name__)

#: The origin of retried records in work items, events and history.
ORIGIN = "revive"

WAITING = text("""
select id, source, entity, source_id, edited_at is not null as edited, record::text as record
from tds_dead_letter_queue where id = any(:ids) and resolved_at is null order by entity, edited, source_id, id
""")


@dataclass(frozen=True, slots=True)
class LockedDeadLetter:
    """An open dead letter, locked. `record` is JSON text; `edited`: an operator wrote it, and the retry applies it."""

    id: int
    source: str
    entity: str
    source_id: str
    edited: bool
    record: str | None


class OpenDeadLetter(TypedDict):
    """An open dead letter, locked. `record` is JSON text; `edited`: an operator wrote it."""

    entity: str
    source_id: str
    resolved_at: None
    resolution: None
    edited: bool
    assigned_to: str | None
    record: str | None


def lock_dead_letters(session: Session, ids: Sequence[int]) -> list[LockedDeadLetter]:
    """Those of `ids` that are open, ordered by entity and record."""
    return [LockedDeadLetter(*row) for row in session.execute(WAITING, {"ids": list(ids)})]


# The events of a dead letter got their verdict with it or later; those of earlier dead letters keep theirs.
REOPEN = text("""
update tds_inbox_events e set verdict = null, verdict_at = null, verdict_reason = null
from tds_dead_letter_queue d
where d.id = any(:ids) and e.source = d.source and e.entity = d.entity and e.source_id = d.source_id
  and e.verdict = 'dead_lettered' and e.verdict_at >= d.dead_at
""")

EDITION = text("""
insert into tds_inbox_events (source, entity, event, source_id, source_modified_at, record, complete, generation,
                              correlation_id)
select q.source, q.entity, :event, q.source_id, :modified_at, cast(:record as jsonb), true, q.generation,
       :correlation_id
from tds_sync_queue q where q.source = :source and q.entity = :entity and q.source_id = :source_id
""")

APPLIED = text("update tds_dead_letter_queue set edited_at = null where id = any(:ids)")


def requeue(session: Session, letters: Sequence[LockedDeadLetter], *, correlation_id: str, bulk: bool = False) -> None:
    """Enqueue `letters` again: to be read from the source, or, where edited, to have the edited record applied.

    Locks the queue before the dead letters, as workers do.
    """
    for (entity, edited), group in groupby(letters, key=lambda letter: (letter.entity, letter.edited)):
        group_letters = list(group)
        items.enqueue(
            session,
            entity=entity,
            source_ids=[letter.source_id for letter in group_letters],
            origin=ORIGIN,
            must_read=not edited,
            bulk=bulk,
            correlation_id=correlation_id,
        )
        for letter in group_letters if edited else ():
            session.execute(EDITION, {**_edition(letter), "correlation_id": correlation_id})
    session.execute(REOPEN, {"ids": [letter.id for letter in letters]})
    session.execute(APPLIED, {"ids": [letter.id for letter in letters if letter.edited]})


def _edition(letter: LockedDeadLetter) -> dict[str, str | datetime | None]:
    """The event with the edited record. One without a time of change, because it is invalid by now, is read instead."""
    modified_at = None
    with suppress(InvalidRecordError):
        record = (letter.record or "{}").encode()
        modified_at = transform(
            ENTITIES[letter.entity], record, view=RecordView.BODY, provenance=Provenance(ORIGIN)
        ).modified_at
    return {
        "source": letter.source,
        "entity": letter.entity,
        "source_id": letter.source_id,
        "event": EDITED,
        "modified_at": modified_at,
        "record": letter.record,
    }


BEGIN = text("""
insert into tds_dead_letter_revivals (letter_id, requested_by, died_of, revived_at)
select id, :by, left(error_class || ': ' || error, 500), clock_timestamp()
from tds_dead_letter_queue where id = any(:ids) and resolved_at is null order by id
on conflict (letter_id) where ended_at is null do nothing
returning letter_id
""")


def retry(session: Session, letter_id: int, *, by: str, correlation_id: str = "") -> str:
    """Retry one dead letter now. Returns its entity.

    Raises NotFoundError, DeadLetterClosedError or RetryInProgressError.
    """
    letters = lock_dead_letters(session, [letter_id])
    if not letters:
        lock_open_dead_letter(session, letter_id)  # raises the reason
    requeue(session, letters, correlation_id=correlation_id or str(uuid4()))
    if session.execute(BEGIN, {"ids": [letter_id], "by": by}).first() is None:
        raise RetryInProgressError(f"Dead letter {letter_id} is being retried; see: tds dead-letter show {letter_id}")
    log.info("dead_letter_revived", letter_id=letter_id, operator=by)
    return letters[0].entity


FIND = text("""
select entity, source_id, resolved_at, resolution, edited_at is not null as edited, assigned_to, record::text as record
from tds_dead_letter_queue where id = :id for update
""")


def lock_open_dead_letter(session: Session, letter_id: int) -> OpenDeadLetter:
    """One open dead letter, locked until the transaction ends. Raises NotFoundError or DeadLetterClosedError."""
    row = session.execute(FIND, {"id": letter_id}).mappings().first() if 0 < letter_id < 2**63 else None
    if row is None:
        raise NotFoundError(f"There is no dead letter {letter_id}.")
    if row["resolved_at"] is not None:
        raise DeadLetterClosedError(f"Dead letter {letter_id} is closed: {row['resolution']}.")
    return cast("OpenDeadLetter", dict(row))


# The most urgent first, then the longest waiting; a record that kills workers is left to an operator.
DUE = text("""
select d.id from tds_dead_letter_queue d
where d.resolved_at is null and d.automatic_count < :most_times and d.error_class <> 'crashed'
  and d.last_dead_at < now() - make_interval(secs => :after)
  and not exists (select from tds_dead_letter_revivals r where r.letter_id = d.id and r.ended_at is null)
order by d.priority, d.last_dead_at, d.id limit :count
""")

COUNT = text("update tds_dead_letter_queue set automatic_count = automatic_count + 1 where id = any(:ids)")


def retry_due(session: Session, *, after_seconds: float, most_times: int, count: int) -> int:
    """Retry up to `count` dead letters that failed at least `after_seconds` ago, each `most_times` at most.

    They wait behind webhooks and operators. After the last time a dead letter is left to an operator. Returns how many
    are retried.
    """
    params = {"after": after_seconds, "most_times": most_times, "count": count}
    letters = lock_dead_letters(session, list(session.execute(DUE, params).scalars()))
    if not letters:
        return 0
    requeue(session, letters, correlation_id=str(uuid4()), bulk=True)
    began = list(session.execute(BEGIN, {"ids": [letter.id for letter in letters], "by": "timetable"}).scalars())
    session.execute(COUNT, {"ids": began})
    log.info("dead_letters_revived", operator="timetable", letter_count=len(began))
    return len(began)
