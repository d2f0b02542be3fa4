"""Queries of dead letters: one by one with their history, grouped by problem, and retry batches."""

import dataclasses
from collections.abc import Sequence

import msgspec
from sqlalchemy import RowMapping, Text, case, cast, exists, func, literal_column, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from tds_core.dead_letters.diagnoses import diagnose
from tds_core.errors import NotFoundError
from tds_core.pagination import Page, Row, read_page
from tds_models.dead_letters import DeadLetter, DeadLetterAction, DeadLetterRetry, DeadLetterRetryBatch

_OPEN = DeadLetter.resolved_at.is_(None)
_OF_LETTER = exists().where(DeadLetterRetry.letter_id == DeadLetter.id, DeadLetterRetry.ended_at.is_(None))
_state = case(
    (DeadLetter.resolved_at.is_not(None), "closed"), (_OF_LETTER, "being_retried"), else_=literal_column("'dead'")
)
_REVIVED = (
    select(func.count())
    .where(DeadLetterRetry.letter_id == DeadLetter.id, DeadLetterRetry.revived_at.is_not(None))
    .scalar_subquery()
    .label("revived_count")
)
_SHOWN = [
    *(column for column in DeadLetter.__table__.columns if column.key != "record"),
    _state.label("state"),
    _REVIVED,
]

#: States to filter by; `open` matches all that are not closed.
STATES = ("dead", "being_retried", "closed", "open", "all")


def dead_letters(
    session: Session,
    *,
    cursor: str | None = None,
    limit: int = 50,
    state: str = "open",
    **filters: str | None,
) -> Page:
    """Dead letters, the newest first.

    `filters` are values of entity, error_class, fingerprint, source_id and assigned_to.
    """
    statement = select(*_SHOWN)
    if state == "open":
        statement = statement.where(_OPEN)
    elif state != "all":
        statement = statement.where(_state == state)
    for name, value in filters.items():
        if value is not None:
            statement = statement.where(DeadLetter.__table__.c[name] == value)
    page = read_page(session, statement, keys=[DeadLetter.__table__.c.id], cursor=cursor, limit=limit)
    return Page([_diagnosed(row) for row in page.items], page.next_cursor)


def groups(session: Session, *, entity: str | None = None, error_class: str | None = None) -> list[Row]:
    """Open dead letters by fingerprint, the most frequent first: one row is one problem."""
    newest_first = aggregate_order_by(DeadLetter.error, DeadLetter.last_dead_at.desc())
    statement = (
        select(
            DeadLetter.fingerprint,
            DeadLetter.error_class,
            func.array_agg(DeadLetter.entity.distinct()).label("entities"),
            func.count().label("letter_count"),
            func.count().filter(_OF_LETTER).label("being_retried_count"),
            func.count(DeadLetter.assigned_to).label("assigned_count"),
            func.min(DeadLetter.dead_at).label("first_seen_at"),
            func.max(DeadLetter.last_dead_at).label("last_seen_at"),
            func.array_agg(newest_first)[1].label("error"),
        )
        .where(_OPEN)
        .group_by(DeadLetter.fingerprint, DeadLetter.error_class)
        .order_by(func.count().desc(), DeadLetter.fingerprint)
    )
    for column, value in ((DeadLetter.entity, entity), (DeadLetter.error_class, error_class)):
        if value is not None:
            statement = statement.where(column == value)
    return [_diagnosed(dict(row)) for row in session.execute(statement).mappings()]


def dead_letter(session: Session, letter_id: int) -> Row:
    """One dead letter: record, diagnosis, retries and the actions of operators. Raises NotFoundError."""
    record = cast(DeadLetter.record, Text).label("record")  # as it is spelled: no number becomes a float
    statement = select(*_SHOWN, record).where(DeadLetter.id == letter_id)
    found = session.execute(statement).mappings().first() if letter_id < 2**63 else None
    if found is None:
        raise NotFoundError(f"There is no dead letter {letter_id}.")
    revivals = (
        select(*DeadLetterRetry.__table__.columns)
        .where(DeadLetterRetry.letter_id == letter_id)
        .order_by(DeadLetterRetry.id)
    )
    actions = select(*DeadLetterAction.__table__.columns).where(DeadLetterAction.letter_id == letter_id)
    return {
        **_diagnosed(dict(found)),
        "record": msgspec.Raw(found["record"].encode()) if found["record"] else None,
        "revivals": [dict(row) for row in session.execute(revivals).mappings()],
        "actions": [dict(row) for row in session.execute(actions.order_by(DeadLetterAction.id)).mappings()],
    }


def _diagnosed(row: Row) -> Row:
    return {**row, "diagnosis": dataclasses.asdict(diagnose(row["error_class"], row["error"]))}


_OUTCOMES = text("""
select batch_id, coalesce(outcome, case when revived_at is null then 'waiting' else 'at_work' end) as outcome,
    count(*) as count
from tds_dead_letter_revivals where batch_id = any(:ids) group by 1, 2
""")


def batches(session: Session, *, cursor: str | None = None, limit: int = 50) -> Page:
    """Retry batches, the newest first."""
    statement = select(*DeadLetterRetryBatch.__table__.columns)
    page = read_page(session, statement, keys=[DeadLetterRetryBatch.__table__.c.id], cursor=cursor, limit=limit)
    return Page(_counted(session, page.items), page.next_cursor)


def batch(session: Session, batch_id: int) -> Row:
    """One retry batch, with its dead letters counted by outcome. Raises NotFoundError."""
    columns = DeadLetterRetryBatch.__table__.columns
    statement = select(*columns).where(DeadLetterRetryBatch.id == batch_id)
    found = session.execute(statement).mappings().first() if batch_id < 2**63 else None
    if found is None:
        raise NotFoundError(f"There is no batch {batch_id}.")
    [counted] = _counted(session, [found])
    return counted


def _counted(session: Session, rows: Sequence[RowMapping | Row]) -> list[Row]:
    outcomes: dict[int, dict[str, int]] = {row["id"]: {} for row in rows}
    for found in session.execute(_OUTCOMES, {"ids": list(outcomes)}).mappings():
        outcomes[found["batch_id"]][found["outcome"]] = found["count"]
    return [{**row, "state": _state_of(row), "outcomes": outcomes[row["id"]]} for row in rows]


def _state_of(batch: RowMapping | Row) -> str:
    return "cancelled" if batch["cancelled_at"] else "completed" if batch["ended_at"] else "running"
