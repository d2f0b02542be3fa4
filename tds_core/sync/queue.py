"""The queue: one live work item per record. Every write says under which condition the item is still mine."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.protections import Protection, is_off
from tds_core.sync.resting import LISTS_FIRST
from tds_models.entities import ENTITIES

# Work found by reading lists waits behind what a webhook or an operator asked for.
BULK_PRIORITY = 10
# Records without a batch call that are claimed to be read in bulk.
BULK_CLAIM = 20
# As many workers as there are.
MANY = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A claimed work item. `generation` is the one that was claimed; completing needs it unchanged.

    `failures`: how often reading it failed before, counted as an attempt or not; `failed_seconds`: how long ago it last
    did, told once it is fenced.
    """

    id: int
    source_id: str
    generation: int
    must_read: bool
    origin: str
    attempts: int
    failures: int = 0
    failed_seconds: float | None = None
    priority: int
    correlation_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Items of one entity, leased together under one token: all of them bulk, or none.

    `claimed_at` is the database's clock at the claim. `was_all`: nothing else was due; a bulk claim does not know.
    """

    source: str
    entity: str
    token: UUID
    claimed_at: datetime
    worker: str
    items: Sequence[Item]
    bulk: bool
    was_all: bool


ITEM_FIELDS = frozenset(Item.__dataclass_fields__)

# A pass that meets a record which waits to be read anyway, and no later than it asks for, has nothing to add.
ENQUEUE = text("""
insert into tds_sync_queue as q (source, entity, source_id, priority, origin, must_read, correlation_id)
select :source, :entity, id, priority, :origin, :must_read, :correlation_id
from unnest(cast(:ids as text[]), cast(:priorities as smallint[])) as wanted(id, priority) order by id
on conflict (source, entity, source_id) do update set
    generation = nextval('tds_generation_seq'), must_read = q.must_read or excluded.must_read,
    priority = least(q.priority, excluded.priority), next_attempt_at = least(q.next_attempt_at, now()),
    updated_at = now()
where not (:bulk and q.must_read and q.lease_token is null and q.priority <= excluded.priority)
""")


def enqueue(
    session: Session,
    *,
    entity: str,
    source_ids: Iterable[str],
    origin: str,
    must_read: bool = True,
    bulk: bool = False,
    behind: Mapping[str, int] | None = None,
    correlation_id: str = "",
) -> int:
    """Owe these records a sync; one that is owed already is asked for again. Returns how many were given.

    `behind`: how far behind other bulk work each of them may wait, by source id.
    """
    ids = sorted(set(source_ids))
    if ids:
        first, waits = ENTITIES[entity].priority + (BULK_PRIORITY if bulk else 0), behind or {}
        session.execute(
            ENQUEUE,
            {
                "source": ENTITIES[entity].stream.source,
                "entity": entity,
                "ids": ids,
                "origin": origin,
                "must_read": must_read,
                "priorities": [first + waits.get(each, 0) for each in ids],
                "bulk": bulk,
                "correlation_id": correlation_id,
            },
        )
    return len(ids)


# The inner select is an optimisation fence: without it the planner may update more rows than the limit.
CLAIM = """
with due as materialized (
    select id from tds_sync_queue
    where entity = :entity and lease_token is null and next_attempt_at <= now() and {which}
    order by priority, next_attempt_at limit :limit for update skip locked
)
update tds_sync_queue q
set lease_token = :token, leased_until = now() + make_interval(secs => :lease), leased_by = :worker,
    attempts = q.attempts + 1, waits_for = null, updated_at = now()
from due where q.id = due.id
returning q.id, q.source_id, q.generation, q.must_read, q.origin, q.attempts, q.failures, q.priority,
    q.correlation_id, q.created_at, clock_timestamp() as claimed_at,
    exists (select from tds_sync_queue where entity = :entity and lease_token is null
            and next_attempt_at <= now() and priority >= :bulk) as bulk_waits
"""
# A record whose lease once ended without a word is claimed alone, so that it can take no other record down with it;
# and first, because under load there is always something else that is due.
CLAIM_SUSPECT = text(CLAIM.format(which="crashes > 0 and priority < :below"))
# Urgent and bulk are never taken together, so that no urgent record waits until bulk was read.
CLAIM_URGENT = text(CLAIM.format(which="crashes = 0 and priority < :bulk"))
CLAIM_BULK = text(CLAIM.format(which="crashes = 0 and priority >= :bulk"))

MAY_READ_BULK = text(f"""
select not exists (select from tds_backfill_rests where source = :source and api = :api and rests_until > now())
   and not {LISTS_FIRST}
   and exists (select from tds_sync_queue where entity = :entity and lease_token is null
               and next_attempt_at <= now() and priority >= :bulk)
""")
BULK_LOCK = text("select pg_advisory_xact_lock(7404202613)")
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
    given = {"entity": entity, "token": token, "lease": lease_seconds, "worker": worker, "bulk": bulk}
    asked = {"entity": entity, "source": stream.source, "api": stream.api, "bulk": bulk}
    rows = session.execute(CLAIM_SUSPECT, {**given, "limit": 1, "below": bulk}).mappings().all()
    was_all = not rows
    rows = rows or session.execute(CLAIM_URGENT, {**given, "limit": limit}).mappings().all()
    if not rows and session.execute(MAY_READ_BULK, asked).scalar() and _has_leisure(session, at_leisure):
        # No more than can be read soon, so that the most useful stay first.
        given["limit"] = min(limit, stream.batch.size if stream.batch else BULK_CLAIM)
        rows = session.execute(CLAIM_SUSPECT, {**given, "limit": 1, "below": 32767}).mappings().all()
        rows = rows or session.execute(CLAIM_BULK, given).mappings().all()
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
        was_all=was_all and len(rows) < limit and not rows[0]["bulk_waits"],
    )


def _has_leisure(session: Session, at_leisure: int) -> bool:
    """Whether one more worker may read in bulk. Decided by one after the other, until the transaction ends."""
    session.execute(BULK_LOCK)
    return int(session.execute(AT_LEISURE, {"any_bulk": BULK_PRIORITY}).scalar_one()) < at_leisure


def database_clock(session: Session) -> datetime:
    """The database's time: the only clock that is ever compared."""
    return session.execute(text("select clock_timestamp()")).scalar_one()  # type: ignore[no-any-return]


# Rows that are locked are being settled, and live; waiting for them, in another order than theirs, could deadlock.
HEARTBEAT = text("""
update tds_sync_queue set leased_until = now() + make_interval(secs => :lease)
where id in (select id from tds_sync_queue where lease_token = :token for update skip locked)
""")


def heartbeat(session: Session, *, token: UUID, lease_seconds: float) -> int:
    """Say that the holder of `token` lives. Returns how many items it still holds."""
    return _count(session.execute(HEARTBEAT, {"token": token, "lease": lease_seconds}))


# In the order in which events arrive and runs enqueue, so that nobody waits in a circle. No statement of what follows
# may take longer than a lease lasts without a heartbeat.
FENCE = text("""
select id, extract(epoch from clock_timestamp() - failed_at)::float8 as failed_seconds,
    set_config('statement_timeout', '10s', true)
from tds_sync_queue
where id = any(:ids) and lease_token = :token order by source_id for update
""")


def fence(session: Session, claim: Claim, items: Iterable[Item]) -> list[Item]:
    """Those of `items` that are still ours, locked: nobody can take them before the transaction ends.

    Locked in the order of their source ids, as the inbox locks them: the two never wait for each other in a circle.
    """
    wanted = {item.id: item for item in items}
    if is_off(Protection.FENCE):
        return list(wanted.values())
    held = session.execute(FENCE, {"ids": sorted(wanted), "token": claim.token})
    return [
        wanted[row.id] if row.failed_seconds is None else replace(wanted[row.id], failed_seconds=row.failed_seconds)
        for row in held
    ]


# An item that was asked for again while we worked is not finished: it goes round, with the attempts it deserves.
FINISH = text("""
with done as (
    select * from unnest(cast(:ids as bigint[]), cast(:generations as bigint[])) as d(id, generation)
), gone as (
    delete from tds_sync_queue q using done d
    where q.id = d.id and q.lease_token = :token and q.generation = d.generation returning q.id
)
update tds_sync_queue q
set lease_token = null, leased_until = null, leased_by = null, attempts = 0, snoozes = 0, crashes = 0,
    failures = 0, failed_at = null, last_error = null, next_attempt_at = now(), updated_at = now()
from done d where q.id = d.id and q.lease_token = :token and q.generation <> d.generation
""")


def finish(session: Session, claim: Claim, items: Sequence[Item]) -> None:
    """Complete `items` (fenced by the caller): they leave the queue, unless they were asked for again."""
    if items:
        session.execute(
            FINISH,
            {
                "ids": [item.id for item in items],
                "generations": [item.generation for item in items],
                "token": claim.token,
            },
        )


PUT_BACK = text("""
update tds_sync_queue q set lease_token = null, leased_until = null, leased_by = null, last_error = r.error,
    attempts = q.attempts - r.uncounted, snoozes = q.snoozes + r.uncounted, must_read = q.must_read or r.must_read,
    failures = q.failures + r.failed::int, failed_at = case when r.failed then clock_timestamp() else q.failed_at end,
    waits_for = nullif(r.waits_for, ''),
    next_attempt_at = now() + make_interval(secs => r.delay), updated_at = now()
from jsonb_to_recordset(cast(:rows as jsonb)) as r(
    id bigint, delay float8, uncounted int, failed boolean, waits_for text, must_read boolean, error text)
where q.id = r.id and q.lease_token = :token
""")


def put_back(session: Session, claim: Claim, rows: Sequence[dict[str, object]]) -> None:
    """Give items back, due after `delay` seconds; `uncounted` is 1 where the attempt shall not count (a snooze).

    A row has id, delay, uncounted, must_read, error, failed (whether reading it did), waits_for (a breaker's name).
    """
    if rows:
        session.execute(PUT_BACK, {"rows": msgspec.json.encode(rows).decode(), "token": claim.token})


RELEASE = text("""
update tds_sync_queue set lease_token = null, leased_until = null, leased_by = null, attempts = attempts - 1,
    waits_for = nullif(:waits_for, ''), next_attempt_at = now() + make_interval(secs => :delay), updated_at = now()
where id in (select id from tds_sync_queue where lease_token = :token order by source_id for update)
""")


def release(session: Session, claim: Claim, *, delay_seconds: float, waits_for: str = "") -> None:
    """Give back everything still held under `claim`; the attempt does not count.

    `waits_for`: the circuit breaker whose closing ends the wait sooner.
    """
    session.execute(RELEASE, {"token": claim.token, "delay": delay_seconds, "waits_for": waits_for})


def _count(result: object) -> int:
    return int(getattr(result, "rowcount", 0))
