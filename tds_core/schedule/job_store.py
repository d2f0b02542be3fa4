"""Scheduled jobs: the timetable in force, and the claiming of its slots.

A slot is a row with a unique key, so any number of Beats may claim at once and one of them gets it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, cast

import msgspec
import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.errors import ConfigError, NotFoundError
from tds_core.schedule.slots import DueSlot, due_slot, in_zone, next_slot

log = structlog.get_logger(__name__)

# A slot found later than this was missed.
LATE_SECONDS = 300.0
# Celery ends a task after 150 s (celeryconfig): a slot claimed earlier than this and not ended lost its process.
LOST_SECONDS = 180.0
MOST_ATTEMPTS = 3

#: By name of a job: its schedule, task, arguments, and what happens to missed slots.
Timetable = Mapping[str, tuple[str, str, Mapping[str, Any], str]]


@dataclass(frozen=True, slots=True)
class ClaimedSlot:
    """A slot claimed by this process, which has to run it."""

    job: str
    slot_at: datetime
    claimed_at: datetime
    task: str
    arguments: Mapping[str, Any]


class SlotStatus(TypedDict):
    """A slot of a job. `begun_at`: None while no process has it; `result` and `ended_at`: None until it ended."""

    slot_at: datetime
    begun_at: datetime | None
    ended_at: datetime | None
    result: str | None
    detail: str | None


class JobStatus(TypedDict):
    """A job with its newest `slots`, the latest first. `missed`: once or skip. `next_at`: None while it is paused.

    `last_result`: completed, failed, skipped or lost; None while the slot runs, or when there was none.
    """

    name: str
    cron: str
    task: str
    arguments: Mapping[str, Any]
    missed: str
    paused_at: datetime | None
    last_slot_at: datetime | None
    last_begun_at: datetime | None
    last_ended_at: datetime | None
    last_result: str | None
    last_detail: str | None
    next_at: datetime | None
    slots: list[SlotStatus]


_STATUS = text("""
select j.name, j.cron, j.task, j.arguments, j.missed, j.paused_at, now() as now,
       s.slot_at as last_slot_at, s.claimed_at as last_begun_at, s.ended_at as last_ended_at,
       s.result as last_result, s.detail as last_detail
from tds_scheduled_jobs j
left join lateral (select * from tds_schedule_slots s where s.job = j.name order by s.slot_at desc limit 1) s on true
order by j.name
""")
#: Slots that are shown of a job.
SHOWN_SLOTS = 7
_SLOTS = text("""
select j.name, s.slot_at, s.claimed_at as begun_at, s.ended_at, s.result, s.detail
from tds_scheduled_jobs j cross join lateral (
    select * from tds_schedule_slots s where s.job = j.name order by s.slot_at desc limit :most) s
order by j.name, s.slot_at desc
""")
SEED = text("""
insert into tds_scheduled_jobs (name, cron, task, arguments, missed)
select * from jsonb_to_recordset(cast(:rows as jsonb)) as r(
    name text, cron text, task text, arguments jsonb, missed text)
on conflict (name) do nothing
""")
_MOVE = text("""
update tds_scheduled_jobs set cron = :now, updated_at = now()
where name = :name and cron = any(cast(:before as text[])) returning name
""")
JOBS = text("""
select j.name, j.cron, j.task, j.arguments, j.missed, now() as now,
       greatest((select max(slot_at) from tds_schedule_slots s where s.job = j.name), j.updated_at) as last
from tds_scheduled_jobs j where j.paused_at is null order by j.name
""")
CLAIM = text("""
insert into tds_schedule_slots (job, slot_at, result, ended_at)
values (:job, :slot_at, cast(:result as text), case when cast(:result as text) is not null then now() end)
on conflict do nothing returning claimed_at
""")
# A lost slot is given up when its job has a newer slot, or after MOST_ATTEMPTS claims.
GIVE_UP = text("""
update tds_schedule_slots s set ended_at = now(), result = 'lost',
    detail = 'its process stopped without a word, ' || attempts || ' times'
where ended_at is null and claimed_at < now() - make_interval(secs => :lost)
  and (attempts >= :most or exists (select from tds_schedule_slots n where n.job = s.job and n.slot_at > s.slot_at))
returning job, slot_at, attempts
""")
CLAIM_LOST = text("""
update tds_schedule_slots s
set claimed_at = now(), attempts = attempts + case when claimed_at is null then 0 else 1 end
from tds_scheduled_jobs j
where j.name = s.job and (s.job, s.slot_at) in (
    select job, slot_at from tds_schedule_slots
    where ended_at is null and (claimed_at is null or claimed_at < now() - make_interval(secs => :lost))
    order by slot_at for update skip locked)
returning s.job, s.slot_at, s.claimed_at, j.task, j.arguments
""")
END = text("""
update tds_schedule_slots set ended_at = now(), result = :result, detail = :detail
where job = :job and slot_at = :slot_at and claimed_at = :claimed_at and ended_at is null
""")


def schedule(session: Session, name: str) -> JobStatus:
    """One job with its last slot. Raises NotFoundError."""
    for job in schedules(session):
        if job["name"] == name:
            return job
    raise NotFoundError(f"There is no job {name[:80]!r}.")


def schedules(session: Session) -> list[JobStatus]:
    """Every job with its newest slots, by name."""
    slots: dict[str, list[dict[str, Any]]] = {}
    for row in session.execute(_SLOTS, {"most": SHOWN_SLOTS}).mappings():
        slots.setdefault(row["name"], []).append({name: value for name, value in row.items() if name != "name"})
    return [_with_next({**row, "slots": slots.get(row["name"], [])}) for row in session.execute(_STATUS).mappings()]


def _with_next(job: dict[str, Any]) -> JobStatus:
    now: datetime = job.pop("now")
    job["next_at"] = None if job["paused_at"] else next_slot(job["cron"], now)
    return cast("JobStatus", job)


_IS_PAUSED = text("""
select count(*) > 0 and bool_and(paused_at is not null) from tds_scheduled_jobs where task = :task
""")


def is_paused(session: Session, task: str) -> bool:
    """Whether every job of this kind is paused, and there is one."""
    return bool(session.execute(_IS_PAUSED, {"task": task}).scalar())


def seed(session: Session, timetable: Timetable, *, zone: str = "UTC") -> None:
    """Insert the new jobs of `timetable`; existing ones stay as they are. `zone`: the installation's."""
    rows = [
        {"name": name, "cron": in_zone(cron, zone), "task": task, "arguments": arguments, "missed": missed}
        for name, (cron, task, arguments, missed) in timetable.items()
    ]
    session.execute(SEED, {"rows": msgspec.json.encode(rows).decode()})


def move_to_zone(session: Session, timetable: Timetable, *, zones: Iterable[str], zone: str) -> list[str]:
    """Let jobs that are as `timetable` has them keep to `zone`, and no longer to one of `zones`. Returns their names.

    A schedule that an operator set stays. A slot of today that is over in the new zone is not run as missed.
    """
    moved = []
    for name, (cron, *_) in timetable.items():
        now, before = in_zone(cron, zone), [in_zone(cron, each) for each in zones]
        params = {"name": name, "now": now, "before": [each for each in before if each != now]}
        if params["before"] and session.execute(_MOVE, params).first():
            moved.append(name)
    return moved


def claim_due(session: Session) -> list[ClaimedSlot]:
    """Claim every due slot, every slot whose process died, and those an operator requested.

    A missed slot of a job that skips is only recorded as skipped.
    """
    params = {"lost": LOST_SECONDS, "most": MOST_ATTEMPTS}
    for slot in session.execute(GIVE_UP, params).mappings():
        log.error("schedule_slot_lost", **slot)
    claimed = [ClaimedSlot(**slot) for slot in session.execute(CLAIM_LOST, params).mappings()]
    for job in session.execute(JOBS).mappings().all():
        due = _due(job)
        if due is None:
            continue
        late = (job["now"] - due.slot_at).total_seconds() > LATE_SECONDS
        skipped = late and job["missed"] == "skip"
        values = {"job": job["name"], "slot_at": due.slot_at, "result": "skipped" if skipped else None}
        claimed_at = session.execute(CLAIM, values).scalar()
        if claimed_at and not skipped:
            claimed.append(ClaimedSlot(job["name"], due.slot_at, claimed_at, job["task"], job["arguments"]))
    return claimed


def overdue_seconds(session: Session) -> dict[str, float]:
    """By job that is not paused, for how long its first unclaimed slot has been due; 0 where none is."""
    overdue = {}
    for job in session.execute(JOBS).mappings():
        since = next_slot(job["cron"], job["last"]) if _due(job) else job["now"]
        overdue[job["name"]] = float(max(0.0, (job["now"] - since).total_seconds()))
    return overdue


def _due(job: RowMapping) -> DueSlot | None:
    """The slot of `job` that is due; an invalid schedule stops only its own job."""
    try:
        return due_slot(job["cron"], last=job["last"], now=job["now"])
    except ConfigError as error:
        log.error("schedule_rhythm_unreadable", job=job["name"], detail=str(error))
        return None


def end(session: Session, slot: ClaimedSlot, *, result: str, detail: str = "") -> None:
    """Record how a slot ended: completed or failed. Writes nothing when another process has claimed it since."""
    params = {"job": slot.job, "slot_at": slot.slot_at, "claimed_at": slot.claimed_at}
    session.execute(END, {**params, "result": result, "detail": detail[:500] or None})
