"""Claims: a worker leases due work items of one entity under one token, the most urgent first.

Due items stay unclaimed while their entity is paused. Back-fill also waits while lists are being read, and, by one row
for each API, while its share of the quota is used up (`throttle_backfill`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import SourceError
from tds_core.queue.items import BULK_PRIORITY, Claim, Item
from tds_models.db import Lock
from tds_models.entities import ENTITIES

# How many records without a batch call are claimed at once for bulk reading.
BULK_CLAIM = 20
# More than the number of workers: no limit.
MANY = 1_000_000

#: Whether an entity is paused; items claimed before are still completed.
PAUSED = "exists (select from tds_queue_pauses p where p.entity = {entity})"

#: Whether lists are being read, or will be within a minute: they come first, for a list call shows 200 records and a
#: detail one. A run that waits behind another of its entity (a failing or a held one) does not count.
LISTS_FIRST = """exists (
    select from tds_sync_runs p where p.mode in ('full', 'incremental') and p.state in ('queued', 'running')
      and (p.lease_token is not null or p.next_attempt_at <= now() + interval '1 minute')
      and not exists (select from tds_sync_runs o
                      where o.source = p.source and o.entity = p.entity and o.mode in ('full', 'incremental')
                        and (o.state = 'held' or (o.id < p.id and o.state in ('queued', 'running')))))"""

ITEM_FIELDS = frozenset(Item.__dataclass_fields__)

# The inner selects are optimisation fences: without them the planner may update more rows than the limit.
# Records whose worker once died are claimed by themselves, so that no other record shares their next crash; and first,
# because under load something else is always due. Urgent and bulk items are never claimed together, so that no urgent
# record waits for bulk reading.
CLAIM = text(f"""
with suspect as materialized (
    select id from tds_sync_queue
    where entity = :entity and lease_token is null and next_attempt_at <= now() and crashes > 0
      and priority < :below and not {PAUSED.format(entity=":entity")}
    order by priority, next_attempt_at limit :limit for update skip locked
), blameless as materialized (
    select id from tds_sync_queue
    where not exists (select from suspect)
      and entity = :entity and lease_token is null and next_attempt_at <= now() and crashes = 0
      and priority >= :least and priority < :below and not {PAUSED.format(entity=":entity")}
    order by priority, next_attempt_at limit :limit for update skip locked
), due as (select id from suspect union all select id from blameless)
update tds_sync_queue q
set lease_token = :token, leased_until = now() + make_interval(secs => :lease), leased_by = :worker,
    attempts = q.attempts + 1, waits_for = null, updated_at = now()
from due where q.id = due.id
returning q.id, q.source_id, q.generation, q.must_read, q.origin, q.attempts, q.snoozes, q.failures, q.priority,
    q.correlation_id, q.created_at, q.crashes > 0 as is_suspect, clock_timestamp() as claimed_at,
    exists (select from tds_sync_queue where entity = :entity and lease_token is null
            and next_attempt_at <= now() and priority >= :bulk) as bulk_waits
""")
#: Below and above every priority.
LEAST, MOST = -1, 32767

MAY_READ_BULK = text(f"""
select not exists (select from tds_backfill_rests where source = :source and api = :api and rests_until > now())
   and not {LISTS_FIRST}
   and exists (select from tds_sync_queue where entity = :entity and lease_token is null
               and next_attempt_at <= now() and priority >= :bulk)
""")
BULK_LOCK = Lock.BULK_CLAIM.until_commit()
BULK_WORKERS = text("""
select count(distinct lease_token) from tds_sync_queue where lease_token is not null and priority >= :any_bulk
""")


def claim(
    session: Session, *, entity: str, limit: int, lease_seconds: float, worker: str, bulk_workers: int = MANY
) -> Claim | None:
    """Lease up to `limit` due items of `entity`, the most urgent first; None when nothing is due, or may be read.

    `bulk_workers`: how many workers may read in bulk at once; the others stay free for urgent work.
    """
    stream, bulk = ENTITIES[entity].stream, ENTITIES[entity].priority + BULK_PRIORITY
    token = uuid4()
    params = {"entity": entity, "token": token, "lease": lease_seconds, "worker": worker, "bulk": bulk, "limit": limit}
    bulk_params = {"entity": entity, "source": stream.source, "api": stream.api, "bulk": bulk}
    rows = session.execute(CLAIM, {**params, "least": LEAST, "below": bulk}).mappings().all()
    if not rows and session.execute(MAY_READ_BULK, bulk_params).scalar() and _may_claim_bulk(session, bulk_workers):
        # No more than can be read soon, so that the most useful records stay first.
        params["limit"] = min(limit, stream.batch.size if stream.batch else BULK_CLAIM)
        rows = session.execute(CLAIM, {**params, "least": bulk, "below": MOST}).mappings().all()
    if not rows:
        return None
    items = [Item(**{k: v for k, v in row.items() if k in ITEM_FIELDS}) for row in rows]
    return Claim(
        source=stream.source,
        entity=entity,
        token=token,
        claimed_at=rows[0]["claimed_at"],
        worker=worker,
        items=sorted(items, key=lambda item: (item.priority, item.source_id)),
        bulk=rows[0]["priority"] >= bulk,
        is_suspect=rows[0]["is_suspect"],
        drained_queue=not rows[0]["is_suspect"] and len(rows) < limit and not rows[0]["bulk_waits"],
    )


def _may_claim_bulk(session: Session, bulk_workers: int) -> bool:
    """Whether one more worker may read in bulk. A lock held to the end of the transaction makes workers ask in turn."""
    session.execute(BULK_LOCK)
    return int(session.execute(BULK_WORKERS, {"any_bulk": BULK_PRIORITY}).scalar_one()) < bulk_workers


# The shortest throttle: claiming anew every second costs more than it brings.
LEAST_SECONDS = 3.0
# The longest: the quota may be raised, or corrected by a response, so it is tried again now and then.
MOST_SECONDS = 900.0

REST = text("""
insert into tds_backfill_rests (source, api, rests_until, reason)
values (:source, :api, clock_timestamp() + make_interval(secs => :seconds), :reason)
on conflict (source, api) do update set rests_until = excluded.rests_until, reason = excluded.reason
""")


def throttle_backfill(session: Session, *, source: str, api: str, refusal: SourceError) -> None:
    """Keep back-fill of `api` unclaimed for as long as `refusal` asks, between 3 s and 15 min."""
    seconds = min(max(refusal.after_seconds, LEAST_SECONDS), MOST_SECONDS)
    session.execute(REST, {"source": source, "api": api, "seconds": seconds, "reason": str(refusal)[:300]})


# Counting stops at a cap: beyond it no exact figure is needed to wake all workers.
DUE = text(f"""
select e.entity, count(w.id) as due_count,
       coalesce(extract(epoch from clock_timestamp() - min(w.next_attempt_at)), 0)::float8
from unnest(cast(:entities as text[]), cast(:sources as text[]), cast(:apis as text[]), cast(:bulks as int[]))
    as e(entity, source, api, bulk)
left join tds_backfill_rests r on r.source = e.source and r.api = e.api and r.rests_until > now()
join lateral (
    select id, next_attempt_at from tds_sync_queue q
    where q.entity = e.entity and q.lease_token is null and q.next_attempt_at <= now()
      and q.priority < case when r.api is null and not {LISTS_FIRST} then {MOST} else e.bulk end
    order by q.priority, q.next_attempt_at limit :cap
) w on true where not {PAUSED.format(entity="e.entity")} group by e.entity
""")


@dataclass(frozen=True, slots=True)
class Due:
    """Due work of one entity: number of items (up to the cap) and for how long the oldest has been due."""

    entity: str
    count: int
    oldest_seconds: float


def due_work(session: Session, entities: Sequence[str], *, cap: int = 1000) -> list[Due]:
    """Due, unclaimed work by entity, without throttled back-fill."""
    declared = [ENTITIES[name] for name in entities]
    params = {
        "entities": list(entities),
        "sources": [each.stream.source for each in declared],
        "apis": [each.stream.api for each in declared],
        "bulks": [each.priority + BULK_PRIORITY for each in declared],
        "cap": cap,
    }
    return [Due(*row) for row in session.execute(DUE, params)]
