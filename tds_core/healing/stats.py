"""What healing did, in figures: each action's share of success, how soon records recovered, who listens."""

from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tds_core.healing.cycle import ACTIONS
from tds_core.pagination import Page, read_page
from tds_models.healing import HealingAction, HealingCycle

_BY_ACTION = text("""
select action, count(*) as deed_count, sum(count) as count,
    sum(count) filter (where outcome = 'done') as done_count,
    sum(count) filter (where outcome = 'failed') as failed_count,
    sum(count) filter (where outcome = 'reported') as reported_count,
    avg(lasted_seconds) filter (where outcome = 'done') as mean_lasted_seconds, max(acted_at) as last_at
from tds_healing_actions where acted_at > now() - make_interval(hours => :hours) group by action
""")
# A record's trouble begins with its first failure and ends with the next attempt that came to something. Snoozes are
# none: rest was wanted.
_RECOVERY = text("""
with troubled as (
    select source, entity, source_id, min(ended_at) as began_at from tds_sync_logs
    where outcome in ('retry', 'crashed', 'dead') and ended_at > now() - make_interval(hours => :hours)
    group by source, entity, source_id
), ends as (
    select t.*, (
        select min(l.ended_at) from tds_sync_logs l where l.entity = t.entity and l.source_id = t.source_id
          and l.source = t.source and l.ended_at > t.began_at
          and l.outcome not in ('retry', 'crashed', 'dead', 'snooze')
    ) as recovered_at, exists (
        select from tds_dead_letter_queue d left join tds_dead_letter_revivals r on r.letter_id = d.id
        where d.source = t.source and d.entity = t.entity and d.source_id = t.source_id and d.last_dead_at >= t.began_at
          and (r.requested_by <> 'timetable' or d.resolution = 'resolved')
    ) as by_person, exists (
        select from tds_dead_letter_queue d where d.source = t.source and d.entity = t.entity
          and d.source_id = t.source_id and d.resolved_at is null
    ) as is_dead from troubled t
)
select count(*) as troubled_count,
    count(*) filter (where recovered_at is not null and not by_person) as recovered_count,
    count(*) filter (where recovered_at is not null and by_person) as by_person_count,
    count(*) filter (where recovered_at is null and is_dead) as dead_count,
    count(*) filter (where recovered_at is null and not is_dead) as under_way_count,
    avg(extract(epoch from recovered_at - began_at)) filter (where not by_person)::float8 as mean_seconds,
    percentile_cont(0.5) within group (order by extract(epoch from recovered_at - began_at))
        filter (where recovered_at is not null and not by_person) as median_seconds,
    max(extract(epoch from recovered_at - began_at)) filter (where not by_person)::float8 as longest_seconds
from ends
""")
_CYCLES = text("""
select count(*) as cycle_count, count(*) filter (where ended_at is null and began_at < now() - interval '5 minutes')
    as unfinished_count
from tds_healing_cycles where began_at > now() - make_interval(hours => :hours)
""")
_LAST_CYCLE = text("""
select id, began_at, ended_at, cause, requested_by, counts from tds_healing_cycles order by id desc limit 1
""")
_WORKERS = text("""
select name, process, slot_count, busy_count, queues, lost_queues, started_at, alive_at, heard_at, deaf_at, deaf_reason,
    ended_at, end_reason,
    case when deaf_at is not null then 'deaf' when ended_at is not null then end_reason
         when alive_at < now() - interval '30 seconds' then 'silent'
         when busy_count >= slot_count then 'busy' else 'listening' end as state,
    exists (select from tds_listeners n where n.started_at > coalesce(l.deaf_at, l.ended_at)
            and n.ended_at is null) as is_replaced
from tds_listeners l where ended_at is null or deaf_at > now() - make_interval(hours => :hours)
order by name, started_at
""")
_QUEUES = text("""
select c.queue, c.sent_at, c.heard_at, c.heard_by, c.heard_seconds, c.unanswered_count, c.unanswered_since
from tds_canaries c where not exists (select from tds_listeners l where l.ear = c.queue) order by c.queue
""")


def healing_stats(session: Session, *, hours: int = 24) -> dict[str, Any]:
    """The figures of the last `hours`."""
    params = {"hours": hours}
    found = {row["action"]: dict(row) for row in session.execute(_BY_ACTION, params).mappings()}
    recovery = dict(session.execute(_RECOVERY, params).mappings().one())
    ended = recovery["recovered_count"] + recovery["by_person_count"] + recovery["dead_count"]
    newest = session.execute(_LAST_CYCLE).mappings().first()
    return {
        "hours": hours,
        **session.execute(_CYCLES, params).mappings().one(),
        "last_cycle": dict(newest) if newest else None,
        "actions": [
            {"action": each.name, "meaning": each.meaning, **_shares(found.get(each.name, {}))} for each in ACTIONS
        ],
        "recovery": {**recovery, "unaided_share": recovery["recovered_count"] / ended if ended else None},
        "workers": [dict(row) for row in session.execute(_WORKERS, params).mappings()],
        "queues": [dict(row) for row in session.execute(_QUEUES).mappings()],
    }


def _shares(row: dict[str, Any]) -> dict[str, Any]:
    counted = {name: row.get(name) or 0 for name in ("count", "done_count", "failed_count", "reported_count")}
    tried = counted["done_count"] + counted["failed_count"]
    return {
        **counted,
        "success_share": counted["done_count"] / tried if tried else None,
        "mean_lasted_seconds": row.get("mean_lasted_seconds"),
        "last_at": row.get("last_at"),
    }


def history(
    session: Session,
    *,
    cursor: str | None = None,
    limit: int = 50,
    action: str | None = None,
    outcome: str | None = None,
    since: datetime | None = None,
) -> Page:
    """What was done, the newest first."""
    table = HealingAction.__table__
    statement = select(*table.columns)
    for key, wanted in (("action", action), ("outcome", outcome)):
        if wanted is not None:
            statement = statement.where(table.c[key] == wanted)
    if since is not None:
        statement = statement.where(table.c.acted_at >= since)
    return read_page(session, statement, keys=[table.c.id], cursor=cursor, limit=limit)


def cycle(session: Session, cycle_id: int) -> dict[str, Any]:
    """One cycle with what it did."""
    table, deeds = HealingCycle.__table__, HealingAction.__table__
    found = session.execute(select(*table.columns).where(table.c.id == cycle_id)).mappings().one()
    done = session.execute(select(*deeds.columns).where(deeds.c.cycle_id == cycle_id).order_by(deeds.c.id)).mappings()
    return {**found, "actions": [dict(row) for row in done]}


_WORKER_COUNTS = text("""
select count(*) filter (where deaf_at is not null) as deaf,
    count(*) filter (where deaf_at is null and alive_at < now() - interval '30 seconds') as silent,
    count(*) filter (where deaf_at is null and alive_at >= now() - interval '30 seconds') as listening
from tds_listeners where ended_at is null
""")
_UNHEARD = text("""
select queue, coalesce(extract(epoch from clock_timestamp() - unanswered_since), 0)::float8 as seconds
from tds_canaries c where not exists (select from tds_listeners l where l.ear = c.queue) order by queue
""")


def worker_counts(session: Session) -> dict[str, int]:
    """How many workers listen, are silent and are deaf."""
    return dict(session.execute(_WORKER_COUNTS).mappings().one())


def unanswered_seconds(session: Session) -> dict[str, float]:
    """Since when the canaries on each queue go unheard; 0 where the last one was heard."""
    return {row.queue: row.seconds for row in session.execute(_UNHEARD)}
