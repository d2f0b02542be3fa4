"""Jobs: the timetable in force, and the taking of its slots. A slot's unique key lets any number of Beats try.

The timetable as people see it: every job, its last slot and how that ended, and when it runs next.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.errors import ConfigError, NotFoundError
from tds_core.schedule.slots import DueSlot, due_slot, next_slot

_JOBS = text("""
select j.name, j.cron, j.task, j.arguments, j.missed, j.paused_at, now() as now,
       s.slot_at as last_slot_at, s.claimed_at as last_begun_at, s.ended_at as last_ended_at,
       s.result as last_result, s.detail as last_detail
from tds_scheduled_jobs j
left join lateral (select * from tds_schedule_slots s where s.job = j.name order by s.slot_at desc limit 1) s on true
order by j.name
""")


def schedule(session: Session, name: str) -> dict[str, Any]:
    """One job with its last slot. Raises NotFoundError."""
    found = [job for job in schedules(session) if job["name"] == name]
    if not found:
        raise NotFoundError(f"There is no job {name[:80]!r}.")
    return found[0]


def schedules(session: Session) -> list[dict[str, Any]]:
    """Every job with its last slot; `next_at` is None for a paused one."""
    return [_with_next(dict(row)) for row in session.execute(_JOBS).mappings()]


def _with_next(job: dict[str, Any]) -> dict[str, Any]:
    now: datetime = job.pop("now")
    job["next_at"] = None if job["paused_at"] else next_slot(job["cron"], now)
    return job


log = structlog.get_logger(__name__)

# A slot found this late was missed; younger ones are only a little late.
LATE_SECONDS = 300.0
# A task lives 150 s at most (celeryconfig): a slot without an end that was taken before then died with its process.
LOST_SECONDS = 180.0
MOST_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class TakenSlot:
    """A slot that is ours to run."""

    job: str
    slot_at: datetime
    claimed_at: datetime
    task: str
    arguments: Mapping[str, Any]


SEED = text("""
insert into tds_scheduled_jobs (name, cron, task, arguments, missed)
select * from jsonb_to_recordset(cast(:rows as jsonb)) as r(
    name text, cron text, task text, arguments jsonb, missed text)
on conflict (name) do nothing
""")


def seed(session: Session, timetable: Mapping[str, tuple[str, str, Mapping[str, Any], str]]) -> None:
    """Put jobs into the timetable that it does not know yet; what an operator changed stays."""
    rows = [
        {"name": name, "cron": cron, "task": task, "arguments": arguments, "missed": missed}
        for name, (cron, task, arguments, missed) in timetable.items()
    ]
    session.execute(SEED, {"rows": msgspec.json.encode(rows).decode()})


JOBS = text("""
select j.name, j.cron, j.task, j.arguments, j.missed, now() as now,
       greatest((select max(slot_at) from tds_schedule_slots s where s.job = j.name), j.updated_at) as last
from tds_scheduled_jobs j where j.paused_at is null order by j.name
""")

TAKE = text("""
insert into tds_schedule_slots (job, slot_at, result, ended_at)
values (:job, :slot_at, cast(:result as text), case when cast(:result as text) is not null then now() end)
on conflict do nothing returning claimed_at
""")

# A newer slot of its job does what a lost one would have done; and one that takes its process down is given up.
GIVE_UP = text("""
update tds_schedule_slots s set ended_at = now(), result = 'lost',
    detail = 'its process stopped without a word, ' || attempts || ' times'
where ended_at is null and claimed_at < now() - make_interval(secs => :lost)
  and (attempts >= :most or exists (select from tds_schedule_slots n where n.job = s.job and n.slot_at > s.slot_at))
returning job, slot_at, attempts
""")

TAKE_LOST = text("""
update tds_schedule_slots s
set claimed_at = now(), attempts = attempts + case when claimed_at is null then 0 else 1 end
from tds_scheduled_jobs j
where j.name = s.job and (s.job, s.slot_at) in (
    select job, slot_at from tds_schedule_slots
    where ended_at is null and (claimed_at is null or claimed_at < now() - make_interval(secs => :lost))
    order by slot_at for update skip locked)
returning s.job, s.slot_at, s.claimed_at, j.task, j.arguments
""")


def take_due(session: Session) -> list[TakenSlot]:
    """Take every due slot nobody has, and those whose process died or which a person asked for.

    A late slot of a job that skips is only written down as skipped.
    """
    params = {"lost": LOST_SECONDS, "most": MOST_ATTEMPTS}
    for slot in session.execute(GIVE_UP, params).mappings():
        log.error("schedule_slot_lost", **slot)
    taken = [TakenSlot(**slot) for slot in session.execute(TAKE_LOST, params).mappings()]
    for job in session.execute(JOBS).mappings().all():
        due = _due(job)
        if due is None:
            continue
        late = (job["now"] - due.slot_at).total_seconds() > LATE_SECONDS
        skipped = late and job["missed"] == "skip"
        wanted = {"job": job["name"], "slot_at": due.slot_at, "result": "skipped" if skipped else None}
        claimed_at = session.execute(TAKE, wanted).scalar()
        if claimed_at and not skipped:
            taken.append(TakenSlot(job["name"], due.slot_at, claimed_at, job["task"], job["arguments"]))
    return taken


def overdue_seconds(session: Session) -> dict[str, float]:
    """For every job that is not paused, how long the first slot nobody took has been due; 0 where none is."""
    overdue = {}
    for job in session.execute(JOBS).mappings():
        since = next_slot(job["cron"], job["last"]) if _due(job) else job["now"]
        overdue[job["name"]] = float(max(0.0, (job["now"] - since).total_seconds()))
    return overdue


def _due(job: RowMapping) -> DueSlot | None:
    """The slot of `job` that is due; a rhythm nobody can read stops only its own job."""
    try:
        return due_slot(job["cron"], last=job["last"], now=job["now"])
    except ConfigError as error:
        log.error("schedule_rhythm_unreadable", job=job["name"], detail=str(error))
        return None


END = text("""
update tds_schedule_slots set ended_at = now(), result = :result, detail = :detail
where job = :job and slot_at = :slot_at and claimed_at = :claimed_at and ended_at is null
""")


def end(session: Session, taken: TakenSlot, *, result: str, detail: str = "") -> None:
    """Write down how a slot ended: completed or failed. Whoever lost it to another writes nothing."""
    params = {"job": taken.job, "slot_at": taken.slot_at, "claimed_at": taken.claimed_at}
    session.execute(END, {**params, "result": result, "detail": detail[:500] or None})
