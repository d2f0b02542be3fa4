"""Tags of what the mirror shows: they change whenever it would be shown otherwise, and cost no reading of records.

A row that is written has another xmin; its lines are only ever written together with it. The schema's revision is part
of a tag, because a column that is added shows without any row being written.
"""

from hashlib import blake2b
from typing import Any

from sqlalchemy import ColumnElement, func, literal_column, select
from sqlalchemy.orm import Session

from tds_core.reading import readiness
from tds_core.reading.mirror import page_where
from tds_models.entity import Entity


def tag_of_row(session: Session, entity: Entity, source_id: str) -> str | None:
    """The tag of one row with its lines; None where there is no such row."""
    table = entity.table
    wanted = select(_stamp(entity)).where(table.c.source == entity.stream.source, table.c.source_id == source_id)
    stamp = session.execute(wanted).scalar()
    return None if stamp is None else _tag([source_id, stamp])


def tag_of_rows(session: Session, entity: Entity, **asked: Any) -> str:
    """The tag of a page of rows; `asked` is what `mirror.rows` is asked."""
    table = entity.table
    page = page_where(session, entity, [table.c.source, table.c.source_id, _stamp(entity)], **asked)
    return _tag([str(page.next_cursor), *(f"{row['source']}/{row['source_id']}/{row['stamp']}" for row in page.items)])


def _stamp(entity: Entity) -> ColumnElement[str]:
    return func.concat_ws(".", entity.table.c.version, literal_column("xmin::text")).label("stamp")


def _tag(parts: list[str]) -> str:
    told = "\n".join([readiness.known_revisions()[0], *parts])
    return blake2b(told.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
