"""Claiming: a worker takes due work items of one entity in hand, the most urgent first, under one lease."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.queue.eligibility import LISTS_FIRST, PAUSED
from tds_core.queue.items import BULK_PRIORITY, Claim, Item
from tds_models.db import Lock
from tds_models.entities import ENTITIES

# Records without a batch call that are claimed to be read in bulk.
BULK_CLAIM = 20
# As many workers as there are.
MANY = 1_000_000

ITEM_FIELDS = frozenset(Item.__dataclass_fields__)

# The inner select is an optimisation fence: without it the planner may update more rows than the limit.
CLAIM = """
with due as materialized (
    select id from tds_sync_queue
    where entity = :entity and lease_token is null and next_attempt_at <= now() and {which} and not {paused}
    order by priority, next_attempt_at limit :limit for update skip locked
)
update tds_sync_queue q
set lease_token = :token, leased_until = now() + make_interval(secs => :lease), leased_by = :worker,
    attempts = q.attempts + 1, waits_for = null, updated_at = now()
from due where q.id = due.id
returning q.id, q.source_id, q.generation, q.must_read, q.origin, q.attempts, q.snoozes, q.failures, q.priority,
    q.correlation_id, q.created_at, clock_timestamp() as claimed_at,
    exists (select from tds_sync_queue where entity = :entity and lease_token is null
            and next_attempt_at <= now() and priority >= :bulk) as bulk_waits
"""


def _claim(which: str) -> str:
    return CLAIM.format(which=which, paused=PAUSED.format(entity=":entity"))


# Records whose lease once ended without a word are claimed by themselves, so that they can take no other record down
# with them; and first, because under load there is always something else that is due.
CLAIM_SUSPECT = text(_claim("crashes > 0 and priority < :below"))
# Urgent and bulk are never taken together, so that no urgent record waits until bulk was read.
CLAIM_URGENT = text(_claim("crashes = 0 and priority < :bulk"))
CLAIM_BULK = text(_claim("crashes = 0 and priority >= :bulk"))

MAY_READ_BULK = text(f"""
select not exists (select from tds_backfill_rests where source = :source and api = :api and rests_until > now())
   and not {LISTS_FIRST}
   and exists (select from tds_sync_queue where entity = :entity and lease_token is null
               and next_attempt_at <= now() and priority >= :bulk)
""")
BULK_LOCK = Lock.BULK_CLAIM.until_commit()
AT_LEISURE = text("""
select count(distinct lease_token) from tds_sync_queue where lease_token is not null and priority >= :any_bulk
""")


def claim(
    session: Session, *, entity: str, limit: int, lease_seconds: float, worker: str, at_leisure: int = MANY
) -> Claim | None:
    """Lease up to `limit` due items of `entity`, the most urgent first; `None` when nothing is due, or may be read.

    `at_leisure`: how many workers bulk work may keep busy; the others are left to what is urgent.
    """
    stream, bulk = ENTITIES[entity].stream, ENTITIES[entity].priority + BULK_PRIORITY
    token = uuid4()
    params = {"entity": entity, "token": token, "lease": lease_seconds, "worker": worker, "bulk": bulk}
    asked = {"entity": entity, "source": stream.source, "api": stream.api, "bulk": bulk}
    rows = session.execute(CLAIM_SUSPECT, {**params, "limit": limit, "below": bulk}).mappings().all()
    is_suspect = bool(rows)
    rows = rows or session.execute(CLAIM_URGENT, {**params, "limit": limit}).mappings().all()
    if not rows and session.execute(MAY_READ_BULK, asked).scalar() and _has_leisure(session, at_leisure):
        # No more than can be read soon, so that the most useful stay first.
        params["limit"] = min(limit, stream.batch.size if stream.batch else BULK_CLAIM)
        rows = session.execute(CLAIM_SUSPECT, {**params, "below": 32767}).mappings().all()
        is_suspect = bool(rows)
        rows = rows or session.execute(CLAIM_BULK, params).mappings().all()
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
        is_suspect=is_suspect,
        drained_queue=not is_suspect and len(rows) < limit and not rows[0]["bulk_waits"],
    )


def _has_leisure(session: Session, at_leisure: int) -> bool:
    """Whether one more worker may read in bulk. Decided by one after the other, until the transaction ends."""
    session.execute(BULK_LOCK)
    return int(session.execute(AT_LEISURE, {"any_bulk": BULK_PRIORITY}).scalar_one()) < at_leisure


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


@dataclass(frozen=True, slots=True)
class Due:
    """Due work of one entity: how many items (up to the cap) and how long the first of them has been due."""

    entity: str
    count: int
    oldest_seconds: float


def due_work(session: Session, entities: Sequence[str], *, cap: int = 1000) -> list[Due]:
    """Due, unclaimed work by entity, without back-fill that rests."""
    declared = [ENTITIES[name] for name in entities]
    params = {
        "entities": list(entities),
        "sources": [each.stream.source for each in declared],
        "apis": [each.stream.api for each in declared],
        "bulks": [each.priority + BULK_PRIORITY for each in declared],
        "cap": cap,
    }
    return [Due(*row) for row in session.execute(DUE, params)]
