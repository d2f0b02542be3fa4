"""Cursors: where the next incremental read begins. They move in the transaction of the rows they cover."""

from datetime import datetime
from typing import TypedDict, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import TdsError
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Increment


class CursorRow(TypedDict):
    """The cursor of an entity. `run_id`: the run that moved it; None where an operator set it, or there is none yet."""

    entity: str
    modified_at: datetime | None
    updated_at: datetime | None
    run_id: int | None


# A cursor that lies in the future says nothing: what was changed since it was set there is to be seen, all of it.
READ = text("""
select modified_at - make_interval(secs => :overlap) from tds_sync_cursors where source = :source and entity = :entity
  and modified_at < now() + interval '1 hour'
""")


ADVANCE = text("""
insert into tds_sync_cursors as c (source, entity, modified_at, run_id) values (:source, :entity, :modified_at, :run_id)
on conflict (source, entity) do update set modified_at = greatest(
        case when c.modified_at < now() + interval '1 hour' then c.modified_at end, excluded.modified_at),
    run_id = excluded.run_id, updated_at = now()
where c.run_id is not null or exists (
    select from tds_sync_runs r where r.id = excluded.run_id and r.started_at > c.updated_at)
""")


def begin_at(session: Session, entity: str, *, overlap_seconds: float) -> datetime | None:
    """Where an incremental read of `entity` begins: a little before the cursor. `None`: at the very beginning."""
    params = {"source": ENTITIES[entity].stream.source, "entity": entity, "overlap": overlap_seconds}
    return session.execute(READ, params).scalar()


def advance(session: Session, entity: str, modified_at: datetime, *, run_id: int) -> None:
    """Move the cursor of `entity` forward to `modified_at`; it never moves back, but out of the future.

    Where a person has set it since the run began, it stands until another run begins there.
    """
    params = {
        "source": ENTITIES[entity].stream.source,
        "entity": entity,
        "modified_at": modified_at,
        "run_id": run_id,
    }
    session.execute(ADVANCE, params)


class CursorError(TdsError):
    """The cursor cannot be set there."""

    code = "invalid_arguments"


ALL = text("select entity, modified_at, updated_at, run_id from tds_sync_cursors where source = :source")


PUT = text("""
insert into tds_sync_cursors as c (source, entity, modified_at)
select :source, :entity, cast(:modified_at as timestamptz)
where cast(:modified_at as timestamptz) <= clock_timestamp()
on conflict (source, entity) do update set modified_at = excluded.modified_at, run_id = null, updated_at = now()
returning entity, modified_at, updated_at, run_id
""")


def cursors(session: Session) -> list[CursorRow]:
    """Where the next incremental read of each entity begins; entities that are always read whole have no cursor."""
    rows: dict[str, CursorRow] = {}
    for source in {entity.stream.source for entity in ENTITIES.values()}:
        for row in session.execute(ALL, {"source": source}).mappings():
            rows[row["entity"]] = cast("CursorRow", dict(row))
    return [
        rows.get(name, {"entity": name, "modified_at": None, "updated_at": None, "run_id": None})
        for name in ENTITIES
        if _has_cursor(name)
    ]


def put(session: Session, entity: str, modified_at: datetime) -> CursorRow:
    """Have the next incremental read of `entity` begin at `modified_at`, also when that is before where it would.

    Raises `CursorError` for a moment that is yet to come, and for an entity that is always read whole.
    """
    if not _has_cursor(entity):
        raise CursorError(f"{entity} has no cursor: every pass reads all of it. Ask for one: tds sync {entity}")
    params = {"source": ENTITIES[entity].stream.source, "entity": entity, "modified_at": modified_at}
    row = session.execute(PUT, params).mappings().first()
    if row is None:
        raise CursorError(f"{modified_at.isoformat()} is yet to come; what is changed until then would not be seen.")
    return cast("CursorRow", dict(row))


def _has_cursor(entity: str) -> bool:
    return ENTITIES[entity].stream.increment is not Increment.FULL
