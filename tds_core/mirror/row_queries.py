"""Mirror rows: rows, their history and entity tags as readers get them.

An entity tag changes whenever a row would be shown differently, and costs no read of the record: a row that is written
has another xmin, its lines are only written together with it, and the schema revision is part of the tag because an
added column shows without any write.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, TypedDict, cast

import msgspec
from sqlalchemy import ColumnElement, Text, func, literal_column, null, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from tds_core.errors import NotFoundError
from tds_core.health import infrastructure
from tds_core.mirror import row_filters
from tds_core.pagination import Page, Row, read_page
from tds_models.audit_trail import AuditEntry
from tds_models.entities.declaration import Entity
from tds_models.runs import Mode, Run, SyncCursor


class VersionRow(TypedDict):
    """A version of a record. `changes`: JSON of its fields, before and after; `origin_id`: the event or the run.

    `operation`: created, updated, deleted or restored; `origin`: webhook, run, healing or operator.
    """

    id: int
    source: str
    entity: str
    source_id: str
    version: int
    operation: str
    changes: msgspec.Raw
    origin: str
    origin_id: int | None
    correlation_id: str
    source_modified_at: datetime | None
    recorded_at: datetime


class LastRun(TypedDict):
    """The newest run of an entity that was no dry run."""

    id: int
    mode: str
    state: str
    requested_at: datetime
    ended_at: datetime | None
    end_reason: str | None


class EntityCounts(TypedDict):
    """The rows of an entity by state, and its newest change, as they were at `counted_at`.

    `details_left`: living rows known by a list row alone; None where a list row is all there is. `is_estimated`: only
    `live_count` is known, and about; the others are None.
    """

    counted_at: datetime
    is_estimated: bool
    live_count: int
    deleted_count: int | None
    unconfirmed_count: int | None
    details_left: int | None
    newest_modified_at: datetime | None
    last_changed_at: datetime | None


class EntityStatus(EntityCounts):
    """The counts of an entity with its cursor and its last run."""

    entity: str
    title: str
    cursor_at: datetime | None
    last_run: LastRun | None


_HIDDEN = frozenset({"list_hash"})


def _exact(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column; JSON as text, because the driver would make floats of its numbers."""
    return column.cast(Text).label(str(column.key)) if isinstance(column.type, JSONB) else column


def _with_raw_json(row: Row, columns: Any) -> Row:
    """The row with its JSON columns as raw JSON."""
    for column in columns:
        if isinstance(column.type, JSONB) and row.get(column.key) is not None:
            row[column.key] = msgspec.Raw(row[column.key].encode())
    return row


def rows(session: Session, entity: Entity, **filters: Any) -> Page[Row]:
    """Rows in the order of their ids, without the source's own record; `filters` as of `page_where`."""
    columns = [column for column in entity.table.columns if column.key not in _HIDDEN | {"source_record"}]
    page = page_where(session, entity, [*map(_exact, columns)], **filters)
    return Page([_with_raw_json(row, columns) for row in page.items], page.next_cursor)


def page_where(
    session: Session,
    entity: Entity,
    columns: Sequence[ColumnElement[Any]],
    *,
    cursor: str | None = None,
    limit: int = 50,
    changed_since: datetime | None = None,
    deleted: bool | None = None,
    confirmed: bool | None = None,
    where: Mapping[str, str] | None = None,
) -> Page[Row]:
    """These columns of a page of rows, its key among them, in the order of their ids.

    `changed_since` bounds when TDS last changed them; `deleted` and `confirmed` take one side only; `where`: values by
    the names of the entity's filters. Raises UnknownFilterError.
    """
    table = entity.table
    statement = select(*columns).where(*row_filters.conditions(entity, where or {}))
    if changed_since is not None:
        statement = statement.where(table.c.changed_at >= changed_since)
    if deleted is not None:
        statement = statement.where(table.c.deleted_at.is_not(None) if deleted else table.c.deleted_at.is_(None))
    if confirmed is not None:
        unconfirmed = table.c.confirmed_at.is_(None)
        statement = statement.where(~unconfirmed if confirmed else unconfirmed)
    keys = [table.c.source, table.c.source_id]
    return read_page(session, statement, keys=keys, cursor=cursor, limit=limit, newest_first=False)


def row(session: Session, entity: Entity, source_id: str) -> Row:
    """One row with its lines and the source's own record. Raises NotFoundError."""
    table = entity.table
    columns = [column for column in table.columns if column.key not in _HIDDEN]
    result = session.execute(
        select(*map(_exact, columns)).where(table.c.source == entity.stream.source, table.c.source_id == source_id)
    )
    mapping = result.mappings().first()
    if mapping is None:
        raise NotFoundError(f"The mirror has no {entity.name} {source_id[:80]}.")
    whole = _with_raw_json(dict(mapping), columns)
    for name, lines in entity.line_tables.items():
        belongs = (lines.c.source == entity.stream.source) & (lines.c.parent_id == source_id)
        statement = select(*map(_exact, lines.c)).where(belongs).order_by(lines.c.position)
        line_rows = session.execute(statement).mappings()
        whole[name] = [_with_raw_json(dict(line), lines.c) for line in line_rows]
    return whole


def history(
    session: Session, entity: Entity, source_id: str, *, cursor: str | None = None, limit: int = 50
) -> Page[VersionRow]:
    """The versions of one record, newest first, each with its changed fields before and after."""
    table = AuditEntry.__table__
    statement = select(*map(_exact, table.columns)).where(
        table.c.entity == entity.name, table.c.source == entity.stream.source, table.c.source_id == source_id
    )
    page = read_page(session, statement, keys=[table.c.version], cursor=cursor, limit=limit)
    versions = [cast("VersionRow", _with_raw_json(entry, table.columns)) for entry in page.items]
    return Page(versions, page.next_cursor)


def entity_status(session: Session, entity: Entity, counts: EntityCounts | None = None) -> EntityStatus:
    """The state of an entity; its rows are counted now unless `counts` has them."""
    cursor = select(SyncCursor.modified_at).where(
        SyncCursor.source == entity.stream.source, SyncCursor.entity == entity.name
    )
    last = select(Run.id, Run.mode, Run.state, Run.requested_at, Run.ended_at, Run.end_reason).where(
        Run.entity == entity.name, Run.mode != Mode.DRY_RUN
    )
    newest = session.execute(last.order_by(Run.requested_at.desc()).limit(1)).mappings().first()
    status = {
        "entity": entity.name,
        "title": entity.title,
        **(counts or _counts(session, entity)),
        "cursor_at": session.execute(cursor).scalar(),
        "last_run": None if newest is None else dict(newest),
    }
    return cast("EntityStatus", status)


def _counts(session: Session, entity: Entity) -> EntityCounts:
    table = entity.table
    live = table.c.deleted_at.is_(None)
    to_read = func.count().filter(live, table.c.lines_confirmed_at.is_(None)) if entity.header_first else null()
    counts = session.execute(
        select(
            func.clock_timestamp().label("counted_at"),
            literal_column("false").label("is_estimated"),
            func.count().filter(live).label("live_count"),
            func.count().filter(~live).label("deleted_count"),
            func.count().filter(live, table.c.confirmed_at.is_(None)).label("unconfirmed_count"),
            to_read.label("details_left"),
            func.max(table.c.source_modified_at).label("newest_modified_at"),
            func.max(table.c.changed_at).label("last_changed_at"),
        )
    )
    return cast("EntityCounts", dict(counts.mappings().one()))


def estimated_counts(session: Session, entity: Entity) -> EntityCounts:
    """About how many living rows an entity has, as PostgreSQL's planner thinks; no row is read."""
    plan = session.execute(text(f"explain (format json) select from {entity.table.fullname} where deleted_at is null"))
    return EntityCounts(
        counted_at=session.execute(select(func.clock_timestamp())).scalar_one(), is_estimated=True,
        live_count=int(plan.scalar_one()[0]["Plan"]["Plan Rows"]), deleted_count=None, unconfirmed_count=None,
        details_left=None, newest_modified_at=None, last_changed_at=None,
    )  # fmt: skip


def etag_of_row(session: Session, entity: Entity, source_id: str) -> str | None:
    """The tag of one row with its lines; None where there is no such row."""
    table = entity.table
    statement = select(_stamp(entity)).where(table.c.source == entity.stream.source, table.c.source_id == source_id)
    stamp = session.execute(statement).scalar()
    return None if stamp is None else _tag([source_id, stamp])


def etag_of_rows(session: Session, entity: Entity, **filters: Any) -> str:
    """The tag of a page of rows; `filters` as of `rows`."""
    table = entity.table
    page = page_where(session, entity, [table.c.source, table.c.source_id, _stamp(entity)], **filters)
    return _tag([str(page.next_cursor), *(f"{row['source']}/{row['source_id']}/{row['stamp']}" for row in page.items)])


def _stamp(entity: Entity) -> ColumnElement[str]:
    return func.concat_ws(".", entity.table.c.version, literal_column("xmin::text")).label("stamp")


def _tag(parts: list[str]) -> str:
    content = "\n".join([infrastructure.known_revisions()[0], *parts])
    return blake2b(content.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
