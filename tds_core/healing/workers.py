"""Listeners: what each worker tells of itself, who of them is deaf, and who is gone.

Decides whether a worker is deaf: alive, and not consuming. No clock here: spans of time are given.

Healing of workers: who is alive and does not consume is told to end, so that its supervisor starts another.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.healing import canaries
from tds_core.healing.action_log import ActionResult
from tds_core.healing.context import HealingContext

#: Fewer unheard canaries prove nothing: Redis may have lost one, or two.
CANARIES = 3
# Celery ends a task after 150 s (celeryconfig): who is busy for longer with nothing new is stuck, not busy.
BUSY_SECONDS = 180.0
#: Workers tell of themselves every two seconds.
TOLD_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """What is known of a worker, in seconds before now.

    `unanswered_count` canaries were put on the queue only it listens to since it last answered one, the first of them
    `unanswered_seconds` ago. `busy_count` are tasks in hand, without those of processes that are stopped.
    """

    silent_seconds: float
    heard_seconds: float
    loop_seconds: float
    unanswered_count: int
    unanswered_seconds: float
    busy_count: int
    slot_count: int
    lost_queues: Sequence[str]


def not_consuming_reason(ear: WorkerSnapshot, *, patience_seconds: float) -> str:
    """Why this worker is deaf; empty when it is not, or when nobody can tell.

    Age alone proves nothing: canaries must have been put before it and left, and all hands full is no deafness.
    """
    if ear.silent_seconds > TOLD_SECONDS:
        return ""  # what is known of it is old
    if ear.lost_queues:
        return f"no longer consumes {', '.join(ear.lost_queues)}"
    if ear.unanswered_count < CANARIES or ear.unanswered_seconds < patience_seconds:
        return ""
    if ear.heard_seconds < ear.unanswered_seconds or _is_busy(ear, patience_seconds):
        return ""
    if ear.loop_seconds > patience_seconds:
        return f"its main loop stands still for {ear.loop_seconds:.0f} s"
    return f"left {ear.unanswered_count} canaries unheard in {ear.unanswered_seconds:.0f} s"


def _is_busy(ear: WorkerSnapshot, patience_seconds: float) -> bool:
    """Whether all its hands are full, so that it takes up nothing however well it hears."""
    all_full = ear.busy_count >= ear.slot_count > 0
    return all_full and ear.loop_seconds <= patience_seconds and ear.heard_seconds <= BUSY_SECONDS


# Told by nobody for so long, on another machine: it is not coming back under this name.
GONE_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """What a worker tells: spans are seconds until now, by its own clock that only measures."""

    process: str
    name: str
    born: float
    ear: str
    slot_count: int
    busy_count: int
    queues: Sequence[str]
    lost_queues: Sequence[str]
    heard_seconds: float
    loop_seconds: float


TELL = text("""
insert into tds_listeners as l (process, name, born, ear, slot_count, busy_count, queues, lost_queues, alive_at,
                                heard_at, looped_at)
values (:process, :name, :born, :ear, :slot_count, :busy_count, :queues, :lost_queues, clock_timestamp(),
        clock_timestamp() - make_interval(secs => :heard_seconds),
        clock_timestamp() - make_interval(secs => :loop_seconds))
on conflict (process) do update set name = excluded.name, born = excluded.born, ear = excluded.ear,
    slot_count = excluded.slot_count, busy_count = excluded.busy_count, queues = excluded.queues,
    lost_queues = excluded.lost_queues, alive_at = excluded.alive_at, heard_at = excluded.heard_at,
    looped_at = excluded.looped_at,
    -- The process id may have been another worker's before, whose end is not this one's.
    started_at = case when l.born = excluded.born then l.started_at else clock_timestamp() end,
    deaf_at = case when l.born = excluded.born then l.deaf_at end,
    deaf_reason = case when l.born = excluded.born then l.deaf_reason end,
    ended_at = null, end_reason = null
returning deaf_reason
""")

END = text("""
update tds_listeners set ended_at = clock_timestamp(), end_reason = :reason
where process = any(:processes) and ended_at is null returning ear
""")


def report_worker(session: Session, told: WorkerReport) -> str | None:
    """Take down what a worker tells of itself. Returns why it is deaf and has to end, if it is."""
    params = {**asdict(told), "queues": list(told.queues), "lost_queues": list(told.lost_queues)}
    reason: str | None = session.execute(TELL, params).scalar_one()
    return reason


def end_worker(session: Session, processes: Sequence[str], *, reason: str) -> list[str]:
    """Say that these workers ended. Returns the queues only they listened to."""
    return list(session.execute(END, {"processes": list(processes), "reason": reason}).scalars())


OPEN = text("""
select l.*, coalesce(c.unanswered_count, 0) as unanswered_count,
    extract(epoch from clock_timestamp() - l.alive_at)::float8 as silent_seconds,
    extract(epoch from clock_timestamp() - l.heard_at)::float8 as heard_seconds,
    extract(epoch from clock_timestamp() - l.looped_at)::float8 as loop_seconds,
    coalesce(extract(epoch from clock_timestamp() - c.unanswered_since), 0)::float8 as unanswered_seconds
from tds_listeners l left join tds_canaries c on c.queue = l.ear where l.ended_at is null order by l.name, l.process
""")


def worker_statuses(session: Session) -> list[dict[str, Any]]:
    """The workers that have not ended, with what is known of their hearing."""
    return [dict(row) for row in session.execute(OPEN).mappings()]


def remove_old_workers(
    session: Session, rows: Iterable[Mapping[str, Any]], dead: Callable[[Iterable[str]], Sequence[str]]
) -> list[str]:
    """End those of `rows` whose process is gone. Returns the queues only they listened to."""
    found = {row["process"]: row for row in rows}
    gone = set(dead(list(found)))
    silent = [name for name, row in found.items() if row["silent_seconds"] > GONE_SECONDS and name not in gone]
    ears = end_worker(session, sorted(gone), reason="gone") if gone else []
    return ears + (end_worker(session, silent, reason="silent") if silent else [])


DEAF = text("""
update tds_listeners set deaf_at = clock_timestamp(), deaf_reason = :reason
where process = :process and deaf_at is null and ended_at is null returning process
""")


def find_unresponsive(
    session: Session, rows: Iterable[Mapping[str, Any]], *, patience_seconds: float
) -> list[dict[str, Any]]:
    """Judge `rows` and tell the deaf ones to end. Returns those found deaf just now, with `deaf_reason`."""
    found = []
    for row in rows:
        reason = not_consuming_reason(_ear_of(row), patience_seconds=patience_seconds)
        if reason and mark_unresponsive(session, row["process"], reason):
            found.append({**row, "deaf_reason": reason})
    return found


def mark_unresponsive(session: Session, process: str, reason: str) -> bool:
    """Tell a worker to end. Returns whether it was not told before."""
    return session.execute(DEAF, {"process": process, "reason": reason}).first() is not None


def _ear_of(row: Mapping[str, Any]) -> WorkerSnapshot:
    return WorkerSnapshot(**{field: row[field] for field in WorkerSnapshot.__dataclass_fields__})


WORKERS = "workers"


def stop_unresponsive(care: HealingContext) -> list[ActionResult]:
    """Judge every worker by what it tells and by its canaries; nobody is judged while `TDS_DEAF_SECONDS` is 0."""
    if not care.settings.deaf_seconds:
        return []
    with care.scope() as session:
        rows = worker_statuses(session)
        canaries.remove(session, remove_old_workers(session, rows, care.dead))
        found = find_unresponsive(session, rows, patience_seconds=care.settings.deaf_seconds)
    return stop_unresponsive_workers(found)


def stop_unresponsive_workers(found: Sequence[Mapping[str, Any]]) -> list[ActionResult]:
    """What is written down of workers found deaf; since when is told by the last message they took up."""
    return [
        ActionResult(
            action=WORKERS,
            subject=row["name"],
            lasted_seconds=row["heard_seconds"],
            detail={"reason": row["deaf_reason"], "process": row["process"]},
        )
        for row in found
    ]
