"""Rows as of a time: computes rows and lines as they were then from the history alone."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import NotFoundError, RetiredError
from tds_core.pagination import LARGEST_PAGE, Page, Row, read_page
from tds_models.entities.declaration import Entity, Lines
from tds_models.entities.fields import CUSTOM, JSON, Field

# The newest version recorded by then counts, with all versions before it whatever their times.
_STATES = """
with lives as (
    select a.source_id, max(a.version) as version, min(a.version) as first_version, min(a.recorded_at) as created_at,
        max(a.recorded_at) as changed_at, max(a.source_modified_at) as source_modified_at,
        (array_agg(a.operation order by a.version desc))[1] as operation
    from tds_audit_trail a join (
        select source_id, max(version) as version from tds_audit_trail
        where entity = :entity and source = :source and source_id = any(:ids) and recorded_at <= :at group by source_id
    ) newest using (source_id)
    where a.entity = :entity and a.source = :source and a.source_id = any(:ids) and a.version <= newest.version
    group by a.source_id
), states as (
    select source_id, jsonb_object_agg(field, value) as state from (
        select distinct on (a.source_id, c.key) a.source_id, c.key as field, c.value -> 1 as value
        from tds_audit_trail a join lives l on l.source_id = a.source_id and a.version <= l.version
        cross join lateral jsonb_each(a.changes) c
        where a.entity = :entity and a.source = :source and a.source_id = any(:ids)
        order by a.source_id, c.key, a.version desc
    ) newest group by source_id
)"""
_BEGINNING = text("""
select (select min(recorded_at) from tds_audit_trail where id > s.last_id) from tds_audit_seals s
where s.kind = 'retired' and s.trail = 'tds_audit_trail' order by s.number desc limit 1
""")


def row_at(session: Session, entity: Entity, source_id: str, at: datetime) -> Row:
    """One row with its lines as of `at`, without the source's own record, which has no history.

    Raises NotFoundError, and RetiredError when the beginning of its history was retired.
    """
    rows = _rows_at(session, entity, [source_id], at, with_lines=True)
    if not rows:
        _check_retired(session, at)
        raise NotFoundError(f"There was no {entity.name} {source_id[:80]} in the mirror at {at.isoformat()}.")
    return rows[0]


def rows_at(
    session: Session, entity: Entity, *, at: datetime, cursor: str | None = None, limit: int = 50,
    deleted: bool | None = None,
) -> Page[Row]:  # fmt: skip
    """Rows as of `at`, in the order of their ids. Raises InvalidCursorError and RetiredError.

    A page covers `limit` of today's records, so it has fewer rows where some did not exist yet.
    """
    table = entity.table
    today = read_page(
        session, table.select().with_only_columns(table.c.source, table.c.source_id),
        keys=[table.c.source, table.c.source_id], cursor=cursor, limit=min(limit, LARGEST_PAGE), newest_first=False,
    )  # fmt: skip
    ids = [row["source_id"] for row in today.items]
    rows = _rows_at(session, entity, ids, at, with_lines=False)
    if len(rows) < len(ids):
        _check_retired(session, at)
    shown = [row for row in rows if deleted is None or (row["deleted_at"] is not None) == deleted]
    return Page(shown, today.next_cursor)


def _rows_at(session: Session, entity: Entity, ids: Sequence[str], at: datetime, *, with_lines: bool) -> list[Row]:
    params = {"entity": entity.name, "source": entity.stream.source, "ids": list(ids), "at": at}
    rows = [dict(row) for row in session.execute(text(_select(entity)), params).mappings()]
    for row in rows:
        if row.pop("first_version") > 1:
            raise RetiredError(f"The beginning of the history of {entity.name} {row['source_id']} was retired.")
        row["deleted_at"] = row["changed_at"] if row.pop("operation") == "deleted" else None
        _make_raw(row, entity.fields)
    for lines in entity.lines if with_lines else ():
        for row in rows:
            row[lines.name] = []
        of_record = {row["source_id"]: row[lines.name] for row in rows}
        for line in session.execute(text(_select_lines(lines)), params).mappings():
            of_record[line["parent_id"]].append(_make_raw(dict(line), lines.fields))
    return rows


def _select(entity: Entity) -> str:
    return f"""{_STATES}
        select :source as source, l.*, {_values(entity.fields)}
        from lives l left join states s using (source_id)
        cross join lateral jsonb_to_record(coalesce(s.state, '{{}}')) as r({_typed(entity.fields)})
        order by l.source_id"""


def _select_lines(lines: Lines) -> str:
    return f"""{_STATES}
        select s.source_id as parent_id, r.position, r.line_id, {_values(lines.fields)}
        from states s cross join lateral jsonb_to_recordset(
            case when jsonb_typeof(s.state -> '{lines.name}') = 'array' then s.state -> '{lines.name}' else '[]' end
        ) as r(position int, line_id text, {_typed(lines.fields)}) order by s.source_id, r.position"""


def _values(fields: Sequence[Field]) -> str:
    """The columns; JSON as text, because the driver would make floats of its numbers."""
    return ", ".join(f"r.{f.name}::text as {f.name}" if f.kind in (JSON, CUSTOM) else f"r.{f.name}" for f in fields)


def _typed(fields: Sequence[Field]) -> str:
    return ", ".join(f"{field.name} {field.kind.sql}" for field in fields)


def _make_raw(row: Row, fields: Sequence[Field]) -> Row:
    for field in fields:
        if field.kind in (JSON, CUSTOM) and row[field.name] is not None:
            row[field.name] = msgspec.Raw(row[field.name].encode())
    return row


def _check_retired(session: Session, at: datetime) -> None:
    """Raise RetiredError when `at` lies before the history that is left."""
    begins_at = session.execute(_BEGINNING).scalar()
    if begins_at is not None and at < begins_at:
        raise RetiredError(f"History is kept from {begins_at.isoformat()} on; see TDS_AUDIT_DAYS.")
