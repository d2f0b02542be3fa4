"""Deletions: records a complete list did not show are read one by one; only a 404 makes a tombstone."""

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.queue import items
from tds_models.entities.declaration import Entity


class DeletionScope(Protocol):
    """The run whose pages are compared with the mirror."""

    id: int
    correlation_id: str


def live_count(session: Session, entity: Entity) -> int:
    """How many records of `entity` the mirror has that are not deleted."""
    statement = text(f"select count(*) from {entity.table.fullname} where source = :source and deleted_at is null")
    return int(session.execute(statement, {"source": entity.stream.source}).scalar_one())


def absent(session: Session, entity: Entity, run: DeletionScope) -> list[str]:
    """Source ids of the rows, not deleted, that no page of `run` showed.

    Rows created after the run began are left out: its first pages could not show them. A row that claims to have been
    created in the future is no such row.
    """
    # "not in" would hold each row against every id listed, once those are more than fit the database's work_mem.
    statement = text(f"""
        select m.source_id from {entity.table.fullname} m join tds_sync_runs r on r.id = :run
        where m.source = :source and m.deleted_at is null and (m.created_at < r.started_at or m.created_at > now())
          and not exists (select from tds_sync_run_pages p, unnest(p.source_ids) as listed(source_id)
                          where p.run_id = :run and listed.source_id = m.source_id)
        order by m.source_id""")
    return list(session.execute(statement, {"source": entity.stream.source, "run": run.id}).scalars())


def enqueue_absent(session: Session, entity: Entity, source_ids: Sequence[str], run: DeletionScope) -> int:
    """Have each of these records read by itself. Returns how many there are."""
    return items.enqueue(
        session,
        entity=entity.name,
        source_ids=source_ids,
        origin="sweep",
        bulk=True,
        correlation_id=run.correlation_id,
    )
