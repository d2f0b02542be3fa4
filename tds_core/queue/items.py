"""Work items: the queue has one live item per record. Every write states under which lease it may change the item.

Items that were completed are gone; the attempts log has a line for every attempt at one, with how it ended.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NotRequired, TypedDict
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.protection_switches import Protection, is_off
from tds_core.queue.retry_policy import code_of
from tds_core.sources.base import CallSummary
from tds_models.entities import ENTITIES

# Added to the priority of work found by reading lists: it waits behind webhooks and operators.
BULK_PRIORITY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A claimed work item. `generation` is the one that was claimed; completing needs it unchanged.

    `failures`: how often reading it failed before, counted as an attempt or not; `failed_seconds`: how long ago it last
    did, known once the item is fenced.
    """

    id: int
    source_id: str
    generation: int
    must_read: bool
    origin: str
    attempts: int
    snoozes: int = 0
    failures: int = 0
    failed_seconds: float | None = None
    priority: int
    correlation_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Items of one entity, leased together under one token: all of them bulk, or none.

    `claimed_at` is the database's clock at the claim. `drained_queue`: the claim took every due item; False
    for bulk claims, which do not check. `is_suspect`: a worker died while it had them leased; all of them, or none.
    `exchanges`: the call that read each record. `callers`: who asked for items, by their correlation ids.
    """

    source: str
    entity: str
    token: UUID
    claimed_at: datetime
    worker: str
    items: Sequence[Item]
    bulk: bool
    drained_queue: bool
    is_suspect: bool = False
    exchanges: Mapping[str, CallSummary] = field(default_factory=dict)
    callers: Mapping[str, str] = field(default_factory=dict)


# Queue rows stay locked while a batch or a burst is being written: that is worth waiting for.
WAIT = "set local lock_timeout = '2s';"

# Bulk work adds nothing where the record is enqueued to be read anyway, and no later.
ENQUEUE = text(f"""{WAIT}
insert into tds_sync_queue as q (source, entity, source_id, priority, origin, must_read, correlation_id)
select :source, :entity, id, priority, :origin, :must_read, :correlation_id
from unnest(cast(:ids as text[]), cast(:priorities as smallint[])) as wanted(id, priority) order by id
on conflict (source, entity, source_id) do update set
    generation = nextval('tds_generation_seq'), must_read = q.must_read or excluded.must_read,
    origin = case when excluded.origin = 'forced' then 'forced' else q.origin end,
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
    bulk_rank: Mapping[str, int] | None = None,
    correlation_id: str = "",
) -> int:
    """Enqueue a sync for each id; an id already queued gets its generation raised. Returns the number of distinct ids.

    `must_read`: the record is read from the source even if a webhook body is at hand. `bulk_rank`: added to the
    priority of each bulk item, by source id; a higher rank waits longer.
    """
    ids = sorted(set(source_ids))
    if ids:
        priority, ranks = ENTITIES[entity].priority + (BULK_PRIORITY if bulk else 0), bulk_rank or {}
        session.execute(
            ENQUEUE,
            {
                "source": ENTITIES[entity].stream.source,
                "entity": entity,
                "ids": ids,
                "origin": origin,
                "must_read": must_read,
                "priorities": [priority + ranks.get(each, 0) for each in ids],
                "bulk": bulk,
                "correlation_id": correlation_id,
            },
        )
    return len(ids)


def database_clock(session: Session) -> datetime:
    """The database's time: the only clock that is ever compared."""
    return session.execute(text("select clock_timestamp()")).scalar_one()  # type: ignore[no-any-return]


# Locked rows are being completed, so their worker lives; waiting for them in another order could deadlock.
HEARTBEAT = text("""
update tds_sync_queue set leased_until = now() + make_interval(secs => :lease)
where id in (select id from tds_sync_queue where lease_token = :token for update skip locked)
""")


def heartbeat(session: Session, *, token: UUID, lease_seconds: float) -> int:
    """Extend the lease of `token`. Returns how many items are still leased under it."""
    return _count(session.execute(HEARTBEAT, {"token": token, "lease": lease_seconds}))


# Lock in the order inserts use, to avoid deadlocks. No statement that follows may take longer than a lease lasts
# without a heartbeat.
FENCE = text(f"""{WAIT}
select id, extract(epoch from clock_timestamp() - failed_at)::float8 as failed_seconds,
    set_config('statement_timeout', '10s', true)
from tds_sync_queue
where id = any(:ids) and lease_token = :token order by source_id for update
""")


def fence(session: Session, claim: Claim, items: Iterable[Item]) -> list[Item]:
    """Those of `items` still leased under the claim, locked until the transaction ends.

    Locked in the order of their source ids, as the inbox locks them, to avoid deadlocks.
    """
    by_id = {item.id: item for item in items}
    if is_off(Protection.FENCE):
        return list(by_id.values())
    rows = session.execute(FENCE, {"ids": sorted(by_id), "token": claim.token})
    return [
        by_id[row.id] if row.failed_seconds is None else replace(by_id[row.id], failed_seconds=row.failed_seconds)
        for row in rows
    ]


# If the generation rose since the claim, put the item back and reset its attempts.
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
    """Complete `items`, fenced by the caller: they leave the queue, unless they were enqueued again meanwhile."""
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
    """Put items back, due after `delay` seconds; `uncounted` is 1 where the attempt does not count (a snooze).

    A row has id, delay, uncounted, must_read, error, failed (whether reading it did), waits_for (a breaker's name).
    """
    if rows:
        session.execute(PUT_BACK, {"rows": msgspec.json.encode(rows).decode(), "token": claim.token})


CLEAR = text("update tds_sync_queue set crashes = 0 where id = any(:ids) and crashes > 0")


def clear(session: Session, items: Iterable[Item]) -> None:
    """Reset the crash count of `items`: a process has survived them. Most have left the queue by now."""
    session.execute(CLEAR, {"ids": sorted(item.id for item in items)})


RELEASE = text("""
update tds_sync_queue set lease_token = null, leased_until = null, leased_by = null, attempts = attempts - 1,
    waits_for = nullif(:waits_for, ''), next_attempt_at = now() + make_interval(secs => :delay), updated_at = now()
where id in (select id from tds_sync_queue where lease_token = :token and id = any(:ids) order by source_id for update)
""")


def release(session: Session, claim: Claim, *, delay_seconds: float, waits_for: str = "") -> None:
    """Put back the items still leased under `claim`; the attempt does not count.

    `waits_for`: the circuit breaker whose closing ends the wait sooner.
    """
    ids = [item.id for item in claim.items]
    session.execute(RELEASE, {"token": claim.token, "ids": ids, "delay": delay_seconds, "waits_for": waits_for})


def _count(result: object) -> int:
    return int(getattr(result, "rowcount", 0))


class AttemptLine(TypedDict):
    """A line of the attempts log. `error_class`, `error`: None after success; `exchange`: the call that read it."""

    source_id: str
    generation: int
    attempt: int
    outcome: str
    error_class: str | None
    error: str | None
    correlation_id: str
    created_at: datetime
    exchange: NotRequired[CallSummary | None]


_LOG_ATTEMPTS = text("""
insert into tds_sync_logs (source, entity, source_id, generation, attempt, outcome, error_class, error, worker,
                           correlation_id, waited_seconds, exchange)
select :source, :entity, r.source_id, r.generation, r.attempt, r.outcome, r.error_class, r.error, :worker,
       r.correlation_id, extract(epoch from clock_timestamp() - r.created_at), r.exchange
from jsonb_to_recordset(cast(:rows as jsonb)) as r(source_id text, generation bigint, attempt int, outcome text,
    error_class text, error text, correlation_id text, created_at timestamptz, exchange jsonb)
""")


def succeeded_attempt(item: Item, outcome: str) -> AttemptLine:
    """The line of an attempt that succeeded."""
    return _attempt_line(item, outcome, None, None)


def failed_attempt(item: Item, outcome: str, error: Exception) -> AttemptLine:
    """The line of an attempt that failed."""
    return _attempt_line(item, outcome, code_of(error), str(error)[:2000])


def log_attempts(session: Session, claim: Claim, lines: Sequence[AttemptLine]) -> None:
    """Write `lines`, each with a summary of the call that read its record, if there was one."""
    for line in lines if claim.exchanges else ():
        line["exchange"] = claim.exchanges.get(line["source_id"])
    if lines:
        session.execute(
            _LOG_ATTEMPTS,
            {
                "source": claim.source,
                "entity": claim.entity,
                "worker": claim.worker,
                "rows": msgspec.json.encode(lines).decode(),
            },
        )


def _attempt_line(item: Item, outcome: str, error_class: str | None, error: str | None) -> AttemptLine:
    return {
        "source_id": item.source_id,
        "generation": item.generation,
        "attempt": item.attempts,
        "outcome": outcome,
        "error_class": error_class,
        "error": error,
        "correlation_id": item.correlation_id,
        "created_at": item.created_at,
    }
