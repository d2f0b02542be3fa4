"""What is due and nobody's: the dispatcher's question, answered without touching a row."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.queue.eligibility import LISTS_FIRST, PAUSED
from tds_core.queue.items import BULK_PRIORITY
from tds_core.sync.runs import BEHIND
from tds_models.entities import ENTITIES

# Counting stops at a cap: more than this many due items need no exact figure to wake all workers.
DUE = text(f"""
select e.entity, count(w.id) as due_count,
       coalesce(extract(epoch from clock_timestamp() - min(w.next_attempt_at)), 0)::float8
from unnest(cast(:entities as text[]), cast(:sources as text[]), cast(:apis as text[]), cast(:bulks as int[]))
    as e(entity, source, api, bulk)
left join tds_backfill_rests r on r.source = e.source and r.api = e.api and r.rests_until > now()
join lateral (
    select id, next_attempt_at from tds_sync_queue q
    where q.entity = e.entity and q.lease_token is null and q.next_attempt_at <= now()
      and q.priority < case when r.api is null and not {LISTS_FIRST} then 32767 else e.bulk end
    order by q.priority, q.next_attempt_at limit :cap
) w on true where not {PAUSED.format(entity="e.entity")} group by e.entity
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
    """Due, unclaimed work by entity, without back-fill that rests."""
    declared = [ENTITIES[name] for name in entities]
    params = {
        "entities": entities,
        "sources": [each.stream.source for each in declared],
        "apis": [each.stream.api for each in declared],
        "bulks": [each.priority + BULK_PRIORITY for each in declared],
        "cap": cap,
    }
    return [Due(*row) for row in session.execute(DUE, params)]


def due_runs(session: Session, *, limit: int) -> list[int]:
    """Runs that wait to be taken further, the longest waiting first."""
    return list(session.execute(DUE_RUNS, {"limit": limit}).scalars())
