"""Both sides in figures: what the source showed when it was last read whole, beside what the mirror holds."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.reading import mirror, reception, runs, work
from tds_models.entities import ENTITIES

_LAST_FULL = text("""
select r.entity, r.ended_at,
       (select count(distinct id) from tds_sync_run_pages p cross join unnest(p.source_ids) as id where p.run_id = r.id)
           as record_count
from (select distinct on (entity) id, entity, ended_at from tds_sync_runs
      where mode = 'full' and state = 'completed' order by entity, id desc) as r
""")
_DEAD_LETTERS = text("""
select entity, error_class, count(*) as count, max(dead_at) as last_at from tds_dead_letter_queue
where resolved_at is null group by entity, error_class order by count(*) desc, entity, error_class
""")


def sides(session: Session, *, run_count: int = 8) -> dict[str, Any]:
    """Entities on both sides, the queue, dead letters, events of the last day and the latest runs."""
    source = {row.entity: row for row in session.execute(_LAST_FULL)}
    entities = []
    for entity in ENTITIES.values():
        seen = source.get(entity.name)
        standing = mirror.standing(session, entity)
        standing["source_count"] = seen.record_count if seen else None
        standing["source_counted_at"] = seen.ended_at if seen else None
        entities.append(standing)
    return {
        "entities": entities,
        "queue": work.queue_stats(session),
        "dead_letters": [dict(row) for row in session.execute(_DEAD_LETTERS).mappings()],
        "events": reception.reception_health(session),
        "runs": runs.runs(session, limit=run_count).items,
    }
