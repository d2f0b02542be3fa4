"""Dead-letter triage: an operator assigns a dead letter, edits its record or resolves it."""

from collections.abc import Mapping
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.dead_letters.retry import InvalidEditError, lock_open_dead_letter
from tds_core.errors import InvalidRecordError
from tds_core.quality.unstorable_values import remove_unstorable, spell_exactly
from tds_core.records.transform import Provenance, RecordView, transform
from tds_models.entities import ENTITIES

log = structlog.get_logger(__name__)


ACTION = text("""
insert into tds_dead_letter_actions (letter_id, operator, action, detail)
values (:id, :by, :action, cast(:detail as jsonb))
""")

ASSIGN = text("update tds_dead_letter_queue set assigned_to = :to where id = :id")


def assign(session: Session, letter_id: int, *, to: str | None, by: str) -> None:
    """Assign an open dead letter to an operator; None removes the assignment.

    Raises NotFoundError or DeadLetterClosedError.
    """
    before = lock_open_dead_letter(session, letter_id)["assigned_to"]
    session.execute(ASSIGN, {"id": letter_id, "to": to})
    _record_action(session, letter_id, "assigned", by, {"from": before, "to": to})


RESOLVE = text("""
with closed as (
    update tds_dead_letter_queue set resolved_at = clock_timestamp(), resolution = 'resolved' where id = :id
)
update tds_dead_letter_revivals set ended_at = clock_timestamp(), outcome = 'resolved'
where letter_id = :id and ended_at is null
""")


def resolve(session: Session, letter_id: int, *, note: str, by: str) -> None:
    """Close an open dead letter without applying its record; `note` is the reason. Raises like `assign`.

    A retry that is under way goes on; if it fails, a new dead letter is stored.
    """
    lock_open_dead_letter(session, letter_id)
    session.execute(RESOLVE, {"id": letter_id})
    _record_action(session, letter_id, "resolved", by, {"note": note})


EDIT = text("""
update tds_dead_letter_queue set record = cast(:record as jsonb), edited_at = clock_timestamp() where id = :id
""")


def edit(session: Session, letter_id: int, *, record: bytes, by: str) -> None:
    """Replace the record (JSON) of an open dead letter; its next retry applies it instead of reading the source.

    It must be a valid record of the same id. If it is no newer than the mirror row, the source is read after all.
    Raises like `assign`, and InvalidEditError naming every wrong field.
    """
    letter = lock_open_dead_letter(session, letter_id)
    try:
        candidate = transform(
            ENTITIES[letter["entity"]], record, view=RecordView.BODY, provenance=Provenance("operator")
        )
    except InvalidRecordError as error:
        raise InvalidEditError(f"The record would die again: {error}") from None
    if candidate.source_id != letter["source_id"]:
        raise InvalidEditError(f"The record is {candidate.source_id}; the letter is about {letter['source_id']}.")
    flaws = [f"{each.key}: {each.reason}" for each in candidate.flaws]
    if flaws:
        raise InvalidEditError(f"Values of the record cannot be read: {'; '.join(flaws)}")
    session.execute(EDIT, {"id": letter_id, "record": record.decode()})
    _record_action(session, letter_id, "edited", by, {"changes": _changes(letter["record"], record)})


def amend(session: Session, letter_id: int, *, changes: bytes, by: str) -> None:
    """Replace single members of an open dead letter's record, and keep the others. Raises like `edit`."""
    record = lock_open_dead_letter(session, letter_id)["record"]
    if record is None:
        raise InvalidEditError(f"Dead letter {letter_id} kept no record: give a whole one.")
    edit(
        session,
        letter_id,
        record=spell_exactly({**remove_unstorable(record.encode())[0], **remove_unstorable(changes)[0]}),
        by=by,
    )


def _record_action(session: Session, letter_id: int, action: str, by: str, detail: Mapping[str, Any]) -> None:
    params = {"id": letter_id, "by": by, "action": action, "detail": spell_exactly(detail).decode()}
    session.execute(ACTION, params)
    log.info("dead_letter_decided", letter_id=letter_id, action=action, operator=by)


def _changes(before: str | None, after: bytes) -> dict[str, Any]:
    """The members of a record that an edit changes, before and after."""
    old = remove_unstorable(before.encode())[0] if before else {}
    new = remove_unstorable(after)[0]
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return {name: [old.get(name), new.get(name)] for name in names}
