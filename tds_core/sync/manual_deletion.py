"""Manual deletion: an operator has rows marked deleted, one that its source denies, or those of another organisation.

Each is a tombstone with a version of its own, as when TDS itself finds a record gone. It is undone as soon as the
source shows the record again.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tds_core.database_errors import is_out_of_time
from tds_core.errors import NotFoundError, TdsError
from tds_core.queue.items import database_clock
from tds_core.records.apply import apply
from tds_core.records.compare import RowOutcome
from tds_core.records.transform import Provenance, tombstone
from tds_core.sources.base import Source, Traffic
from tds_core.sync.foreign_organization_rows import ForeignRows, foreign, foreign_rows
from tds_models.db import set_statement_timeout
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

log = structlog.get_logger(__name__)

#: The origin of these versions in the history.
ORIGIN = "operator"
#: Rows of another organisation that one transaction removes, and one request.
ROWS_AT_ONCE, MOST_ROWS = 500, 5_000
SEARCH_SECONDS = 8

#: Opens a transaction.
Scope = Callable[[], AbstractContextManager[Session]]


class RecordExistsError(TdsError):
    """The source has the record, or does not say that it has not: it is not marked deleted."""

    code = "record_exists"


class SearchTooLongError(TdsError):
    """The rows of another organisation are not found within SEARCH_SECONDS."""

    code = "search_too_slow"
    retriable = True


class RowChangedError(TdsError):
    """The row, or the set of rows, changed while this was asked."""

    code = "rows_changed"


def mark_deleted(
    scope: Scope,
    entity: Entity,
    source_id: str,
    *,
    reason: str,
    by: str,
    correlation_id: str,
    source: Callable[[str], Source] | None,
) -> RowOutcome:
    """Mark a row deleted if `source` answers that it has no such record; without `source` as a person states it.

    Returns deleted, or unchanged for a row that is deleted already. The source is asked outside any transaction.
    Raises NotFoundError, RecordExistsError, RowChangedError, and what reading the record raises.
    """
    with scope() as session:
        _check_row(session, entity, source_id)
        read_at = database_clock(session)
    if source is not None:
        _check_gone(source(entity.stream.source), entity, source_id)
    with scope() as session:
        read_at = read_at if source is not None else database_clock(session)
        gone = tombstone(source_id, read_at=read_at, provenance=Provenance(ORIGIN, None, correlation_id))
        [applied] = apply(session, entity, [gone])
        if applied.outcome is RowOutcome.REFETCH:
            raise RowChangedError(f"{entity.name} {source_id} was written while Zoho was asked. Try again.")
    log.info("row_marked_deleted", entity=entity.name, source_id=source_id, operator=by, reason=reason,
             outcome=applied.outcome.value, is_confirmed=source is not None)  # fmt: skip
    return applied.outcome


def _check_row(session: Session, entity: Entity, source_id: str) -> None:
    statement = text(f"select 1 from {entity.table.fullname} where source = :source and source_id = :id")
    if session.execute(statement, {"source": entity.stream.source, "id": source_id}).first() is None:
        raise NotFoundError(f"The mirror has no {entity.name} {source_id[:80]}.")


def _check_gone(source: Source, entity: Entity, source_id: str) -> None:
    found = source.read(entity.stream, [source_id], traffic=Traffic.OPERATOR)
    if source_id in found.failures:
        raise found.failures[source_id]
    if source_id in found.refused:
        raise RecordExistsError(
            f"Zoho does not show {entity.name} {source_id} to this connection, which is not to say that it is gone"
            f" ({found.refused[source_id]}). If you know that it is, say so with confirmed_gone and a reason."
        )
    if source_id not in found.missing:
        raise RecordExistsError(f"Zoho has {entity.name} {source_id}: it stays.")


def shown_foreign_rows(session: Session) -> list[ForeignRows]:
    """The rows of another organisation, if they are found within SEARCH_SECONDS. Raises SearchTooLongError."""
    set_statement_timeout(session, SEARCH_SECONDS)
    try:
        return foreign_rows(session)
    except SQLAlchemyError as error:
        if is_out_of_time(error):
            raise SearchTooLongError(
                f"Reading every record takes longer than {SEARCH_SECONDS} s. Beside the database: tds zoho foreign-rows"
            ) from None
        raise


def remove_foreign_rows(
    scope: Scope, entity: Entity, organization_id: str, *, by: str, correlation_id: str, most: int = MOST_ROWS
) -> int:
    """Mark deleted the living rows of `entity` that name `organization_id`, not the mirrored one; at most `most`.

    Returns how many. Rows that name no organisation, or another one than these two, stay.
    """
    removed, after = 0, ""
    while removed < most:
        with scope() as session:
            ids = _foreign_ids(session, entity, organization_id, after, min(ROWS_AT_ONCE, most - removed))
            if not ids:
                break
            provenance = Provenance(ORIGIN, None, correlation_id)
            read_at = database_clock(session)
            outcomes = apply(session, entity, [tombstone(each, read_at=read_at, provenance=provenance) for each in ids])
        removed += sum(each.outcome is RowOutcome.DELETED for each in outcomes)
        after = ids[-1]
    log.info(
        "foreign_rows_removed", entity=entity.name, organization_id=organization_id, operator=by, row_count=removed
    )
    return removed


def _foreign_ids(session: Session, entity: Entity, organization_id: str, after: str, count: int) -> Sequence[str]:
    statement = text(
        f"{foreign(entity)} and btrim(m.source_record ->> 'organization_id') = :theirs and m.source = :source"
        " and m.source_id > :after order by m.source_id limit :count"
    )
    params = {"theirs": organization_id, "source": entity.stream.source, "after": after, "count": count}
    return [row.source_id for row in session.execute(statement, params)]


def remove_shown(
    scope: Scope, shown: Sequence[ForeignRows], found: Sequence[ForeignRows], *, by: str, correlation_id: str
) -> int:
    """Mark deleted the rows of another organisation that were shown, at most MOST_ROWS. Returns how many.

    `found`: what there is now. Raises RowChangedError when that is not what was shown.
    """
    if {*shown} != {*found}:
        raise RowChangedError("The rows of another organisation are not those that were shown. Look again.")
    removed = 0
    for each in shown:
        removed += remove_foreign_rows(
            scope, ENTITIES[each.entity], each.organization_id, by=by, correlation_id=correlation_id,
            most=MOST_ROWS - removed,
        )  # fmt: skip
    return removed
