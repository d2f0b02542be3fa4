"""Queries of dead letters: one by one with their history, grouped by problem, and retry batches."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, cast

import msgspec
from sqlalchemy import Text, case, exists, func, literal_column, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from tds_core.dead_letters.diagnoses import diagnose
from tds_core.errors import NotFoundError
from tds_core.pagination import LARGEST_PAGE, Page, read_page
from tds_models.dead_letters import DeadLetter, DeadLetterAction, DeadLetterRetry, DeadLetterRetryBatch


class DiagnosisFields(TypedDict):
    """The fields of `Diagnosis`."""

    cause: str
    says: str
    fix: str
    retry_helps: bool


class DeadLetterRow(TypedDict):
    """A dead letter without its record. `state`: dead, being_retried or closed.

    `revived_count`: its retries, `automatic_count`: those by the timetable; `edited_at`: an operator changed the
    record; `foreign_id`: its id in the system it was imported from; `resolution`: revived, healed or resolved.
    """

    id: int
    source: str
    entity: str
    source_id: str
    error_class: str
    error: str
    fingerprint: str
    attempts: int
    priority: int
    correlation_id: str
    dead_at: datetime
    last_dead_at: datetime
    automatic_count: int
    assigned_to: str | None
    edited_at: datetime | None
    foreign_id: str | None
    resolved_at: datetime | None
    resolution: str | None
    state: str
    revived_count: int
    diagnosis: DiagnosisFields


class DeadLetterGroup(TypedDict):
    """The open dead letters of one fingerprint. `error`: the newest one's; `assigned_count`: those of an operator."""

    fingerprint: str
    error_class: str
    entities: list[str]
    letter_count: int
    being_retried_count: int
    assigned_count: int
    first_seen_at: datetime
    last_seen_at: datetime
    error: str
    diagnosis: DiagnosisFields


class RetryRow(TypedDict):
    """A retry of a dead letter. `died_of`: the failure before it; `revived_at`: when it became a work item again.

    `outcome`: what became of its record, or dead, cancelled, resolved, confirmed; `error`: the failure after it.
    """

    id: int
    letter_id: int
    batch_id: int | None
    requested_by: str
    requested_at: datetime
    died_of: str
    revived_at: datetime | None
    ended_at: datetime | None
    outcome: str | None
    error: str | None


class DeadLetterActionRow(TypedDict):
    """An operator's action. `action`: imported, assigned, edited or resolved; `detail` depends on it."""

    id: int
    letter_id: int
    acted_at: datetime
    operator: str
    action: str
    detail: dict[str, Any]


class DeadLetterDetails(DeadLetterRow):
    """A dead letter with its record as JSON, its retries and the actions of operators, oldest first."""

    record: msgspec.Raw | None
    revivals: list[RetryRow]
    actions: list[DeadLetterActionRow]


class RetryBatchRow(TypedDict):
    """A retry batch. `state`: running, completed or cancelled; `asked`: the criteria of its selection.

    `letter_count`: dead letters selected; `outcomes`: those by outcome, waiting and at_work included.
    """

    id: int
    requested_by: str
    requested_at: datetime
    asked: dict[str, Any]
    letter_count: int
    per_minute: int
    stepped_at: datetime
    cancelled_at: datetime | None
    cancelled_by: str | None
    ended_at: datetime | None
    correlation_id: str
    state: str
    outcomes: dict[str, int]


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
    batch_id: int | None = None,
    **filters: str | None,
) -> Page[DeadLetterRow]:
    """Dead letters, the newest first; with `batch_id` those of a retry batch.

    `filters` are values of entity, error_class, fingerprint, source_id and assigned_to.
    """
    statement = select(*_SHOWN)
    if batch_id is not None:
        retried = select(DeadLetterRetry.letter_id).where(DeadLetterRetry.batch_id == batch_id)
        statement = statement.where(DeadLetter.id.in_(retried))
    if state == "open":
        statement = statement.where(_OPEN)
    elif state != "all":
        statement = statement.where(_state == state)
    for name, value in filters.items():
        if value is not None:
            statement = statement.where(DeadLetter.__table__.c[name] == value)
    page = read_page(session, statement, keys=[DeadLetter.__table__.c.id], cursor=cursor, limit=limit)
    return Page([cast("DeadLetterRow", _diagnosed(row)) for row in page.items], page.next_cursor)


def groups(session: Session, *, limit: int = LARGEST_PAGE, **filters: str | None) -> list[DeadLetterGroup]:
    """Open dead letters by fingerprint, the `limit` most frequent: one row is one problem.

    `filters` are values of entity, error_class and fingerprint.
    """
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
        .limit(limit)
    )
    for name, value in filters.items():
        if value is not None:
            statement = statement.where(DeadLetter.__table__.c[name] == value)
    return [cast("DeadLetterGroup", _diagnosed(row)) for row in session.execute(statement).mappings()]


def dead_letter(session: Session, letter_id: int) -> DeadLetterDetails:
    """One dead letter: record, diagnosis, retries and the actions of operators. Raises NotFoundError."""
    record = DeadLetter.record.cast(Text).label("record")  # as it is spelled: no number becomes a float
    statement = select(*_SHOWN, record).where(DeadLetter.id == letter_id)
    row = session.execute(statement).mappings().first() if letter_id < 2**63 else None
    if row is None:
        raise NotFoundError(f"There is no dead letter {letter_id}.")
    revivals = (
        select(*DeadLetterRetry.__table__.columns)
        .where(DeadLetterRetry.letter_id == letter_id)
        .order_by(DeadLetterRetry.id)
    )
    actions = select(*DeadLetterAction.__table__.columns).where(DeadLetterAction.letter_id == letter_id)
    details = {
        **_diagnosed(row),
        "record": msgspec.Raw(row["record"].encode()) if row["record"] else None,
        "revivals": [dict(each) for each in session.execute(revivals).mappings()],
        "actions": [dict(each) for each in session.execute(actions.order_by(DeadLetterAction.id)).mappings()],
    }
    return cast("DeadLetterDetails", details)


def _diagnosed(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {**row, "diagnosis": dataclasses.asdict(diagnose(row["error_class"], row["error"]))}


_OUTCOMES = text("""
select batch_id, coalesce(outcome, case when revived_at is null then 'waiting' else 'at_work' end) as outcome,
    count(*) as count
from tds_dead_letter_revivals where batch_id = any(:ids) group by 1, 2
""")


def batches(session: Session, *, cursor: str | None = None, limit: int = 50) -> Page[RetryBatchRow]:
    """Retry batches, the newest first."""
    statement = select(*DeadLetterRetryBatch.__table__.columns)
    page = read_page(session, statement, keys=[DeadLetterRetryBatch.__table__.c.id], cursor=cursor, limit=limit)
    return Page(_counted(session, page.items), page.next_cursor)


def batch(session: Session, batch_id: int) -> RetryBatchRow:
    """One retry batch, with its dead letters counted by outcome. Raises NotFoundError."""
    columns = DeadLetterRetryBatch.__table__.columns
    statement = select(*columns).where(DeadLetterRetryBatch.id == batch_id)
    row = session.execute(statement).mappings().first() if batch_id < 2**63 else None
    if row is None:
        raise NotFoundError(f"There is no batch {batch_id}.")
    [counted] = _counted(session, [row])
    return counted


def _counted(session: Session, rows: Sequence[Mapping[Any, Any]]) -> list[RetryBatchRow]:
    outcomes: dict[int, dict[str, int]] = {row["id"]: {} for row in rows}
    for counted in session.execute(_OUTCOMES, {"ids": list(outcomes)}).mappings():
        outcomes[counted["batch_id"]][counted["outcome"]] = counted["count"]
    batch_rows = [{**row, "state": _state_of(row), "outcomes": outcomes[row["id"]]} for row in rows]
    return cast("list[RetryBatchRow]", batch_rows)


def _state_of(batch: Mapping[Any, Any]) -> str:
    return "cancelled" if batch["cancelled_at"] else "completed" if batch["ended_at"] else "running"
