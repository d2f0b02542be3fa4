"""Worker liveness: what each worker reports of itself, which workers do not consume, and which are gone.

A worker that runs but does not consume ("deaf") is marked; it reads the mark at its next report and ends, so that its
supervisor starts another.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.healing import canary_messages
from tds_core.healing.action_log import ActionResult
from tds_core.healing.context import HealingContext

WORKERS = "workers"

#: Fewer unanswered canaries prove nothing: Redis may have lost one, or two.
CANARIES = 3
# Celery ends a task after 150 s (celeryconfig): a worker that is busy for longer with nothing new is stuck.
BUSY_SECONDS = 180.0
#: Workers report every two seconds; an older report says nothing about the present.
REPORT_SECONDS = 30.0
# A worker without a report for so long, on another machine, is not coming back under this name.
GONE_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """What a worker reports: `private_queue` is consumed by it alone, `lost_queues` it no longer consumes.

    Spans are seconds before now by its own monotonic clock: the last message taken, the last turn of its main loop.
    """

    process: str
    name: str
    born: float
    private_queue: str
    version: str | None = None
    slot_count: int
    busy_count: int
    queues: Sequence[str]
    lost_queues: Sequence[str]
    heard_seconds: float
    loop_seconds: float


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """What the liveness decision goes by, in seconds before now.

    `unanswered_count` canaries were put on the worker's private queue since it last answered one, the first of them
    `unanswered_seconds` ago. `busy_count` are its running tasks, without those of processes that are stopped.
    """

    silent_seconds: float
    heard_seconds: float
    loop_seconds: float
    unanswered_count: int
    unanswered_seconds: float
    busy_count: int
    slot_count: int
    lost_queues: Sequence[str]


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker that has not ended. `deaf_reason`: why it does not consume; None while it does, or is not marked yet."""

    name: str
    process: str
    born: float
    private_queue: str
    deaf_reason: str | None
    snapshot: WorkerSnapshot


REPORT = text("""
insert into tds_listeners as l (process, name, born, ear, version, slot_count, busy_count, queues, lost_queues,
                                alive_at, heard_at, looped_at)
values (:process, :name, :born, :private_queue, :version, :slot_count, :busy_count, :queues, :lost_queues,
        clock_timestamp(), clock_timestamp() - make_interval(secs => :heard_seconds),
        clock_timestamp() - make_interval(secs => :loop_seconds))
on conflict (process) do update set name = excluded.name, born = excluded.born, ear = excluded.ear,
    version = excluded.version, slot_count = excluded.slot_count, busy_count = excluded.busy_count,
    queues = excluded.queues, lost_queues = excluded.lost_queues, alive_at = excluded.alive_at,
    heard_at = excluded.heard_at, looped_at = excluded.looped_at,
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

OPEN = text("""
select l.*, coalesce(c.unanswered_count, 0) as unanswered_count,
    extract(epoch from clock_timestamp() - l.alive_at)::float8 as silent_seconds,
    extract(epoch from clock_timestamp() - l.heard_at)::float8 as heard_seconds,
    extract(epoch from clock_timestamp() - l.looped_at)::float8 as loop_seconds,
    coalesce(extract(epoch from clock_timestamp() - c.unanswered_since), 0)::float8 as unanswered_seconds
from tds_listeners l left join tds_canaries c on c.queue = l.ear where l.ended_at is null order by l.name, l.process
""")

MARK = text("""
update tds_listeners set deaf_at = clock_timestamp(), deaf_reason = :reason
where process = :process and deaf_at is null and ended_at is null returning process
""")


def report_worker(session: Session, report: WorkerReport) -> str | None:
    """Store a worker's report. Returns why the worker has to end; None when it need not."""
    params = {**asdict(report), "queues": list(report.queues), "lost_queues": list(report.lost_queues)}
    reason: str | None = session.execute(REPORT, params).scalar_one()
    return reason


def end_worker(session: Session, processes: Sequence[str], *, reason: str) -> list[str]:
    """Record that these workers ended. Returns their private queues."""
    return list(session.execute(END, {"processes": list(processes), "reason": reason}).scalars())


def worker_statuses(session: Session) -> list[WorkerStatus]:
    """The workers that have not ended, by name."""
    return [_status(row) for row in session.execute(OPEN).mappings()]


def _status(row: RowMapping) -> WorkerStatus:
    snapshot = WorkerSnapshot(**{field.name: row[field.name] for field in fields(WorkerSnapshot)})
    return WorkerStatus(row["name"], row["process"], row["born"], row["ear"], row["deaf_reason"], snapshot)


def stop_unresponsive(context: HealingContext) -> list[ActionResult]:
    """Mark every worker that does not consume, and end those that are gone; nothing while `TDS_DEAF_SECONDS` is 0."""
    if not context.settings.deaf_seconds:
        return []
    with context.scope() as session:
        statuses = worker_statuses(session)
        canary_messages.remove(session, remove_old_workers(session, statuses, context.dead))
        marked = mark_unresponsive_workers(session, statuses, patience_seconds=context.settings.deaf_seconds)
    return unresponsive_results(marked)


def remove_old_workers(
    session: Session, statuses: Iterable[WorkerStatus], dead: Callable[[Iterable[str]], Sequence[str]]
) -> list[str]:
    """End the workers whose process is gone or silent for too long. Returns their private queues."""
    by_process = {status.process: status for status in statuses}
    gone = set(dead(list(by_process)))
    silent = [
        process
        for process, status in by_process.items()
        if status.snapshot.silent_seconds > GONE_SECONDS and process not in gone
    ]
    queues = end_worker(session, sorted(gone), reason="gone") if gone else []
    return queues + (end_worker(session, silent, reason="silent") if silent else [])


def mark_unresponsive_workers(
    session: Session, statuses: Iterable[WorkerStatus], *, patience_seconds: float
) -> list[WorkerStatus]:
    """Mark the workers that do not consume. Returns those marked by this call, with `deaf_reason`."""
    marked = []
    for status in statuses:
        reason = not_consuming_reason(status.snapshot, patience_seconds=patience_seconds)
        if reason and mark_unresponsive(session, status.process, reason):
            marked.append(replace(status, deaf_reason=reason))
    return marked


def mark_unresponsive(session: Session, process: str, reason: str) -> bool:
    """Mark a worker, which makes it end. Returns False when it was marked or had ended before."""
    return session.execute(MARK, {"process": process, "reason": reason}).first() is not None


def unresponsive_results(statuses: Sequence[WorkerStatus]) -> list[ActionResult]:
    """What the healing log records of marked workers; they had been wrong since the last message they took."""
    return [
        ActionResult(
            action=WORKERS,
            subject=status.name,
            lasted_seconds=status.snapshot.heard_seconds,
            detail={"reason": status.deaf_reason, "process": status.process},
        )
        for status in statuses
    ]


def not_consuming_reason(snapshot: WorkerSnapshot, *, patience_seconds: float) -> str:
    """Why this worker does not consume; empty when it does, or when that cannot be known.

    Age alone proves nothing: canaries must have been sent and left unanswered, and a worker whose slots are all busy
    takes no message.
    """
    if snapshot.silent_seconds > REPORT_SECONDS:
        return ""
    if snapshot.lost_queues:
        return f"no longer consumes {', '.join(snapshot.lost_queues)}"
    if snapshot.unanswered_count < CANARIES or snapshot.unanswered_seconds < patience_seconds:
        return ""
    if snapshot.heard_seconds < snapshot.unanswered_seconds or _is_busy(snapshot, patience_seconds):
        return ""
    if snapshot.loop_seconds > patience_seconds:
        return f"its main loop stands still for {snapshot.loop_seconds:.0f} s"
    return f"left {snapshot.unanswered_count} canaries unheard in {snapshot.unanswered_seconds:.0f} s"


def _is_busy(snapshot: WorkerSnapshot, patience_seconds: float) -> bool:
    all_full = snapshot.busy_count >= snapshot.slot_count > 0
    return all_full and snapshot.loop_seconds <= patience_seconds and snapshot.heard_seconds <= BUSY_SECONDS
