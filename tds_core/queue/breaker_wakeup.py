"""Breaker wake-up: work that waits for a circuit breaker becomes due again once it closed, as fast as the quota allows.

While a breaker is due for a probe, one piece of the work waiting for it becomes due: a run before a record, and of the
records the one that failed least, so that a record which fails by itself does not keep the breaker open.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_models.entities import ENTITIES

IS_WAITING = text("""
select exists (select from tds_sync_queue where waits_for is not null and lease_token is null)
    or exists (select from tds_sync_runs where waits_for is not null and lease_token is null)
""")


def is_anything_waiting(session: Session) -> bool:
    """Whether any work waits for a breaker."""
    return bool(session.execute(IS_WAITING).scalar())


WAKE_RUNS = text("""
update tds_sync_runs set waits_for = null, next_attempt_at = least(next_attempt_at, now())
where lease_token is null and waits_for = any(:closed)
""")

WAKE = """
with chosen as materialized (
    select q.id from unnest(cast(:entities as text[]), cast(:counts as int[])) as e(entity, count)
    join lateral (
        select id from tds_sync_queue w
        where w.entity = e.entity and w.waits_for = any(:closed) and w.lease_token is null and {which}
        order by failures, priority, next_attempt_at limit e.count for update skip locked
    ) q on true
)
update tds_sync_queue q set waits_for = null, next_attempt_at = least(next_attempt_at, now()), updated_at = now()
from chosen where q.id = chosen.id
"""
WAKE_SOUND, WAKE_FAILED = text(WAKE.format(which="failures = 0")), text(WAKE.format(which="failures > 0"))
#: Items that failed before are woken for so few calls at once: too few to open the breaker again by themselves, should
#: the fault be the records' own. An outage leaves few such items, since the breaker opens after a few calls.
CALLS_FOR_FAILED = 2


def wake_blocked_work(session: Session, *, closed: Sequence[str], counts: Mapping[str, int]) -> None:
    """Make due what waits for one of the breakers `closed`: all runs, and `counts` items of each entity.

    Of items that failed before only a few are woken at once.
    """
    params = {"closed": list(closed), "entities": list(counts), "counts": list(counts.values())}
    session.execute(WAKE_RUNS, params)
    session.execute(WAKE_SOUND, params)
    batches = (ENTITIES[name].stream.batch for name in counts)
    limits = [CALLS_FOR_FAILED * (batch.size if batch else 1) for batch in batches]
    session.execute(WAKE_FAILED, {**params, "counts": list(map(min, limits, counts.values()))})


WAKE_ONE_RUN = text("""
update tds_sync_runs set waits_for = null, next_attempt_at = least(next_attempt_at, now()) where id = (
    select id from tds_sync_runs where waits_for = :name and lease_token is null
    order by requested_at limit 1 for update skip locked)
returning id
""")

WAKE_ONE = text("""
update tds_sync_queue set waits_for = null, next_attempt_at = least(next_attempt_at, now()), updated_at = now()
where id = (
    select q.id from unnest(cast(:entities as text[])) as e(entity)
    join lateral (
        select id, failures, priority, next_attempt_at from tds_sync_queue w
        where w.entity = e.entity and w.waits_for = :name and w.lease_token is null
        order by failures, priority, next_attempt_at limit 1
    ) q on true
    order by q.failures, q.priority, q.next_attempt_at limit 1)
and lease_token is null
""")


def wake_one(session: Session, name: str, *, entities: Sequence[str]) -> None:
    """Make one piece of work due that waits for breaker `name`, so that it probes the breaker."""
    if session.execute(WAKE_ONE_RUN, {"name": name}).scalar() is None:
        session.execute(WAKE_ONE, {"name": name, "entities": list(entities)})
