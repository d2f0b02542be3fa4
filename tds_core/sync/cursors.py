"""Cursors: where the next incremental read begins. They move in the transaction of the rows they cover."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_models.entities import ENTITIES

READ = text("""
select modified_at - make_interval(secs => :overlap) from tds_sync_cursors where source = :source and entity = :entity
""")

ADVANCE = text("""
insert into tds_sync_cursors as c (source, entity, modified_at, run_id) values (:source, :entity, :modified_at, :run_id)
on conflict (source, entity) do update set modified_at = greatest(c.modified_at, excluded.modified_at),
    run_id = excluded.run_id, updated_at = now()
""")


def begin_at(session: Session, entity: str, *, overlap_seconds: float) -> datetime | None:
    """Where an incremental read of `entity` begins: a little before the cursor. `None`: at the very beginning."""
    given = {"source": ENTITIES[entity].stream.source, "entity": entity, "overlap": overlap_seconds}
    return session.execute(READ, given).scalar()


def advance(session: Session, entity: str, modified_at: datetime, *, run_id: int) -> None:
    """Move the cursor of `entity` forward to `modified_at`; it never moves back."""
    given = {
        "source": ENTITIES[entity].stream.source,
        "entity": entity,
        "modified_at": modified_at,
        "run_id": run_id,
    }
    session.execute(ADVANCE, given)
