"""Healing statistics: the success of each action, how soon failed records recovered, and the state of the workers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict, cast

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tds_core.healing.cycle import ACTIONS, CycleAction
from tds_core.healing.missing_workers import missing_workers, recent_workers
from tds_core.pagination import Page, read_page
from tds_models.healing import HealingAction, HealingCycle


class CycleRow(TypedDict):
    """One healing cycle. `counts`: by action how much it repaired or reported, null for one that failed."""

    id: int
    began_at: datetime
    ended_at: datetime | None
    cause: str
    requested_by: str | None
    counts: dict[str, int | None]


class HealingActionRow(TypedDict):
    """An action of healing. `subject`: a breaker, a worker, a queue or a run; `outcome`: done, failed or reported.

    `lasted_seconds`: how long the fault had lasted; `detail`: depends on the action.
    """

    id: int
    acted_at: datetime
    cycle_id: int | None
    action: str
    cause: str
    entity: str | None
    subject: str | None
    count: int
    outcome: str
    lasted_seconds: float | None
    detail: dict[str, Any]


class CycleDetails(CycleRow):
    """A cycle with the rows of its actions, oldest first."""

    actions: list[HealingActionRow]


class ActionStats(TypedDict):
    """What one action did. `success_share`: repaired of attempted, 0 to 1; None when nothing was attempted."""

    action: str
    meaning: str
    count: int
    done_count: int
    failed_count: int
    reported_count: int
    success_share: float | None
    mean_lasted_seconds: float | None
    last_at: datetime | None


class RecoveryStats(TypedDict):
    """What became of records whose sync failed; the three spans are of those that recovered without a person.

    `unaided_share`: recovered without a person, of those not under way, 0 to 1; None when there are none.
    """

    troubled_count: int
    recovered_count: int
    by_person_count: int
    dead_count: int
    under_way_count: int
    unaided_share: float | None
    mean_seconds: float | None
    median_seconds: float | None
    longest_seconds: float | None


class WorkerRow(TypedDict):
    """A worker that has not ended or was found deaf. `state`: listening, busy, silent, deaf, or why it ended."""

    name: str
    process: str
    version: str | None
    slot_count: int
    busy_count: int
    queues: list[str]
    lost_queues: list[str]
    started_at: datetime
    alive_at: datetime
    heard_at: datetime
    deaf_at: datetime | None
    deaf_reason: str | None
    ended_at: datetime | None
    end_reason: str | None
    state: str
    is_replaced: bool


class WorkerCounts(TypedDict):
    """The workers that have not ended, by state. `missing`: gone without having been stopped, and not replaced."""

    listening: int
    silent: int
    deaf: int
    missing: int


class QueueRow(TypedDict):
    """The canaries of one shared queue: the last sent, the last answered, and how many went unanswered since."""

    queue: str
    sent_at: datetime
    heard_at: datetime | None
    heard_by: str | None
    heard_seconds: float | None
    unanswered_count: int
    unanswered_since: datetime | None


class ProcessRow(TypedDict):
    """A part of TDS that reports itself, and for how many seconds it has said nothing."""

    name: str
    beat_at: datetime
    silent_seconds: float


class Processes(TypedDict):
    """The workers, the queues with their canaries, and the parts of TDS that report themselves."""

    workers: list[WorkerRow]
    queues: list[QueueRow]
    processes: list[ProcessRow]


class HealingStats(TypedDict):
    """The statistics of the last `hours`; `unfinished_count`: cycles without an end five minutes after they began."""

    hours: int
    cycle_count: int
    unfinished_count: int
    last_cycle: CycleRow | None
    actions: list[ActionStats]
    recovery: RecoveryStats
    workers: list[WorkerRow]
    queues: list[QueueRow]


_BY_ACTION = text("""
select action, count(*) as deed_count, sum(count) as count,
    sum(count) filter (where outcome = 'done') as done_count,
    sum(count) filter (where outcome = 'failed') as failed_count,
    sum(count) filter (where outcome = 'reported') as reported_count,
    avg(lasted_seconds) filter (where outcome = 'done') as mean_lasted_seconds, max(acted_at) as last_at
from tds_healing_actions where acted_at > now() - make_interval(hours => :hours) group by action
""")
# From a record's first failure to its next attempt that neither failed nor was snoozed.
_RECOVERY = text("""
with troubled as (
    select source, entity, source_id, min(ended_at) as began_at from tds_sync_logs
    where outcome in ('retry', 'crashed', 'dead') and ended_at > now() - make_interval(hours => :hours)
    group by source, entity, source_id
), ends as materialized (
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
select name, process, version, slot_count, busy_count, queues, lost_queues, started_at, alive_at, heard_at, deaf_at,
    deaf_reason, ended_at, end_reason,
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
_PROCESSES = text("""
select name, beat_at, greatest(extract(epoch from clock_timestamp() - beat_at), 0)::float8 as silent_seconds
from tds_pulses order by name
""")
_WORKER_COUNTS = text("""
select count(*) filter (where deaf_at is not null) as deaf,
    count(*) filter (where deaf_at is null and alive_at < now() - interval '30 seconds') as silent,
    count(*) filter (where deaf_at is null and alive_at >= now() - interval '30 seconds') as listening
from tds_listeners where ended_at is null
""")
_UNANSWERED = text("""
select queue, coalesce(extract(epoch from clock_timestamp() - unanswered_since), 0)::float8 as seconds
from tds_canaries c where not exists (select from tds_listeners l where l.ear = c.queue) order by queue
""")


def healing_stats(session: Session, *, hours: int = 24) -> HealingStats:
    """The statistics of the last `hours`."""
    params = {"hours": hours}
    by_action = {row["action"]: dict(row) for row in session.execute(_BY_ACTION, params).mappings()}
    cycles = session.execute(_CYCLES, params).one()
    last_cycle = session.execute(_LAST_CYCLE).mappings().first()
    return HealingStats(
        hours=hours,
        cycle_count=cycles.cycle_count,
        unfinished_count=cycles.unfinished_count,
        last_cycle=cast("CycleRow", dict(last_cycle)) if last_cycle else None,
        actions=[_action_stats(action, by_action.get(action.name, {})) for action in ACTIONS],
        recovery=_recovery(session, params),
        workers=_workers(session, params),
        queues=_queues(session),
    )


def processes(session: Session) -> Processes:
    """What runs: workers that have not ended or were deaf in 24 hours, queues, and heartbeats."""
    return Processes(
        workers=_workers(session, {"hours": 24}),
        queues=_queues(session),
        processes=cast("list[ProcessRow]", [dict(row) for row in session.execute(_PROCESSES).mappings()]),
    )


def _workers(session: Session, params: Mapping[str, int]) -> list[WorkerRow]:
    return cast("list[WorkerRow]", [dict(row) for row in session.execute(_WORKERS, params).mappings()])


def _queues(session: Session) -> list[QueueRow]:
    return cast("list[QueueRow]", [dict(row) for row in session.execute(_QUEUES).mappings()])


def _action_stats(action: CycleAction, row: Mapping[str, Any]) -> ActionStats:
    done, failed = row.get("done_count") or 0, row.get("failed_count") or 0
    return ActionStats(
        action=action.name,
        meaning=action.meaning,
        count=row.get("count") or 0,
        done_count=done,
        failed_count=failed,
        reported_count=row.get("reported_count") or 0,
        success_share=done / (done + failed) if done + failed else None,
        mean_lasted_seconds=row.get("mean_lasted_seconds"),
        last_at=row.get("last_at"),
    )


def _recovery(session: Session, params: Mapping[str, int]) -> RecoveryStats:
    row = session.execute(_RECOVERY, params).mappings().one()
    ended = row["recovered_count"] + row["by_person_count"] + row["dead_count"]
    share = row["recovered_count"] / ended if ended else None
    return cast("RecoveryStats", {**row, "unaided_share": share})


def history(
    session: Session,
    *,
    cursor: str | None = None,
    limit: int = 50,
    action: str | None = None,
    outcome: str | None = None,
    since: datetime | None = None,
) -> Page[HealingActionRow]:
    """The rows of the healing log, newest first. Raises InvalidCursorError."""
    table = HealingAction.__table__
    statement = select(*table.columns)
    for name, value in (("action", action), ("outcome", outcome)):
        if value is not None:
            statement = statement.where(table.c[name] == value)
    if since is not None:
        statement = statement.where(table.c.acted_at >= since)
    return read_page(session, statement, keys=[table.c.id], cursor=cursor, limit=limit)


def cycle_details(session: Session, cycle_id: int) -> CycleDetails:
    """One cycle with what it did."""
    cycles, actions = HealingCycle.__table__, HealingAction.__table__
    row = session.execute(select(*cycles.columns).where(cycles.c.id == cycle_id)).mappings().one()
    statement = select(*actions.columns).where(actions.c.cycle_id == cycle_id).order_by(actions.c.id)
    rows = [dict(action) for action in session.execute(statement).mappings()]
    return cast("CycleDetails", {**row, "actions": rows})


def worker_counts(session: Session) -> WorkerCounts:
    """How many workers listen, are silent, are deaf, and are missing."""
    missing = missing_workers(recent_workers(session))
    return cast("WorkerCounts", {**session.execute(_WORKER_COUNTS).mappings().one(), "missing": len(missing)})


def unanswered_seconds(session: Session) -> dict[str, float]:
    """For how long the canaries of each queue have gone unanswered; 0 where the last one was answered."""
    return {row.queue: row.seconds for row in session.execute(_UNANSWERED)}
