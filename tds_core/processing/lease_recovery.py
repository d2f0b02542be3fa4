"""Lease recovery: takes back leases whose worker is dead or silent. Age alone never ends a lease."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.dead_letters import burial
from tds_core.protection_switches import Protection, is_off
from tds_core.queue.items import Claim, Item

#: A record that was in a worker's hands when it died this often is set aside, guilty or not. The second time it was on
#: trial already, where it ends a process of its own and no worker: what is counted here ends whole machines.
CRASHES_TO_QUARANTINE = 5

RESCUE = text("""
with silent as materialized (
    -- A lease that ran out while the database itself was away proves nothing against its record.
    select id, (pg_postmaster_start_time() < leased_until - interval '1 minute')::int as crashed
    from tds_sync_queue where lease_token is not null and leased_until < now()
    order by id limit 1000 for update skip locked
), freed as (
    update tds_sync_queue q
    set lease_token = null, leased_until = null, leased_by = null, crashes = q.crashes + s.crashed,
        last_error = 'the worker stopped without a word', next_attempt_at = now(), updated_at = now()
    from silent s where q.id = s.id
    returning q.id, q.source, q.entity, q.source_id, q.generation, q.attempts, q.crashes, q.priority, q.correlation_id
), logged as (
    insert into tds_sync_logs (source, entity, source_id, generation, attempt, outcome, error_class, correlation_id)
    select source, entity, source_id, generation, attempts, 'crashed', 'crashed', correlation_id from freed
)
select * from freed
""")

HOLDERS = text("""
select leased_by from tds_sync_queue where lease_token is not null
union select leased_by from tds_sync_runs where lease_token is not null
""")

# A row that is locked is being settled: whoever does it lives, or the database will notice that it does not.
EXPIRE = text("""
update tds_sync_queue set leased_until = least(leased_until, now() - interval '1 microsecond')
where id in (select id from tds_sync_queue where lease_token is not null and leased_by = any(:holders)
             for update skip locked)
""")
EXPIRE_RUNS = text("""
update tds_sync_runs set leased_until = least(leased_until, now() - interval '1 microsecond')
where id in (select id from tds_sync_runs where lease_token is not null and leased_by = any(:holders)
             for update skip locked)
""")

REMOVE = text("delete from tds_sync_queue where id = any(:ids) and lease_token is null")

BURY_POISON = text("""
with held as materialized (
    select id, source, entity, source_id, generation > :generation as asked_again, attempts, priority, correlation_id
    from tds_sync_queue where id = :id and lease_token = :token for update
), gone as (
    delete from tds_sync_queue where id in (select id from held where not asked_again)
), kept as (
    update tds_sync_queue set lease_token = null, leased_until = null, leased_by = null, attempts = 0,
        next_attempt_at = now(), updated_at = now()
    where id in (select id from held where asked_again)
), logged as (
    insert into tds_sync_logs (source, entity, source_id, generation, attempt, outcome, error_class, correlation_id)
    select source, entity, source_id, :generation, attempts, 'crashed', 'crashed', correlation_id from held
)
select source, entity, source_id, cast(:generation as bigint) as generation, attempts, priority, correlation_id
from held
""")

#: A run whose worker went silent this often without a page in between would go on so for ever.
SILENCES_TO_FAIL = 5

RESCUE_RUNS = text("""
update tds_sync_runs set lease_token = null, leased_until = null, leased_by = null, next_attempt_at = now(),
    attempts = attempts + 1,
    state = case when attempts + 1 >= :most then 'failed' else state end,
    ended_at = case when attempts + 1 >= :most then now() end,
    end_reason = 'its worker stopped without a word, at the same page ' || attempts + 1 || ' times'
where lease_token is not null and leased_until < now() and state = 'running'
""")


@dataclass(frozen=True, slots=True)
class RecoveredLeases:
    """How many items and runs were taken back, and how many records were quarantined for killing workers."""

    item_count: int
    run_count: int
    quarantined_count: int


def lease_holders(session: Session) -> list[str]:
    """The names of all workers that hold a lease."""
    return [each for each in session.execute(HOLDERS).scalars() if each]


def expire(session: Session, dead: Sequence[str]) -> None:
    """End the leases of workers known to be dead, so that the next recovery takes them back."""
    if dead:
        session.execute(EXPIRE, {"holders": list(dead)})
        session.execute(EXPIRE_RUNS, {"holders": list(dead)})


def recover_expired_leases(session: Session) -> RecoveredLeases:
    """Take back the leases of silent workers; quarantine records whose workers die again and again."""
    if is_off(Protection.LEASE):
        return RecoveredLeases(0, 0, 0)
    freed = session.execute(RESCUE).mappings().all()
    killers = [row for row in freed if row["crashes"] >= CRASHES_TO_QUARANTINE]
    for row in killers:
        _quarantine(session, dict(row), f"its worker died {row['crashes']} times while holding this record")
    if killers:
        session.execute(REMOVE, {"ids": [row["id"] for row in killers]})
    runs = session.execute(RESCUE_RUNS, {"most": SILENCES_TO_FAIL})
    return RecoveredLeases(len(freed), int(getattr(runs, "rowcount", 0)), len(killers))


def bury_poison(session: Session, claim: Claim, item: Item) -> None:
    """Dead-letter `item` of `claim`: two processes crashed while it was the only item they had.

    An item enqueued again since then stays in the queue: the new event has not been tried.
    """
    params = {"id": item.id, "token": claim.token, "generation": item.generation}
    row = session.execute(BURY_POISON, params).mappings().first()
    if row:
        _quarantine(session, dict(row), "its worker died, and so did every process that tried this record alone")


def _quarantine(session: Session, row: Mapping[str, Any], error: str) -> None:
    letter = {key: row[key] for key in ("source_id", "attempts", "priority", "correlation_id", "generation")}
    letters = [{**letter, "error_class": "crashed", "error": error}]
    burial.bury(session, source=row["source"], entity=row["entity"], letters=letters)
