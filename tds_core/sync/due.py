"""What is due and nobody's: the dispatcher's question, answered without touching a row."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sync.runs import BEHIND

# Counting stops at a cap: more than this many due items need no exact figure to wake all workers.
DUE = text("""
select e.entity, count(w.id) as due_count,
       coalesce(extract(epoch from clock_timestamp() - min(w.next_attempt_at)), 0)::float8
from unnest(cast(:entities as text[])) as e(entity)
join lateral (
    select id, next_attempt_at from tds_sync_queue q
    where q.entity = e.entity and q.lease_token is null and q.next_attempt_at <= now()
    order by q.priority, q.next_attempt_at limit :cap
) w on true group by e.entity
""")

DUE_RUNS = text(f"""
select id from tds_sync_runs r where state in ('queued', 'running') and lease_token is null
  and next_attempt_at <= now() and not {BEHIND} order by requested_at limit :limit
""")


@dataclass(frozen=True, slots=True)
class Due:
    """Due work of one entity: how many items (up to the cap) and how long the first of them has been due."""

    entity: str
    count: int
    oldest_seconds: float


def due_work(session: Session, entities: list[str], *, cap: int = 1000) -> list[Due]:
    """Due, unclaimed work by entity."""
    return [Due(*row) for row in session.execute(DUE, {"entities": entities, "cap": cap})]


def due_runs(session: Session, *, limit: int) -> list[int]:
    """Runs that wait to be taken further, the longest waiting first."""
    return list(session.execute(DUE_RUNS, {"limit": limit}).scalars())
