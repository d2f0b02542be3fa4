"""Jobs: the timetable in force, and the taking of its slots. A slot's unique key lets any number of Beats try."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.errors import ConfigError
from tds_core.timetable.slots import DueSlot, due_slot

log = structlog.get_logger(__name__)

# A slot found this late was missed; younger ones are only a little late.
LATE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Taken:
    """A slot that is ours to run."""

    job: str
    slot_at: datetime
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
on conflict do nothing returning 1
""")


def take_due(session: Session) -> list[Taken]:
    """Take every due slot nobody has. A late slot of a job that skips is only written down as skipped."""
    taken = []
    for job in session.execute(JOBS).mappings().all():
        due = _due(job)
        if due is None:
            continue
        late = (job["now"] - due.slot_at).total_seconds() > LATE_SECONDS
        skipped = late and job["missed"] == "skip"
        given = {"job": job["name"], "slot_at": due.slot_at, "result": "skipped" if skipped else None}
        if session.execute(TAKE, given).first() and not skipped:
            taken.append(Taken(job["name"], due.slot_at, job["task"], job["arguments"]))
    return taken


def _due(job: RowMapping) -> DueSlot | None:
    """The slot of `job` that is due; a rhythm nobody can read stops only its own job."""
    try:
        return due_slot(job["cron"], last=job["last"], now=job["now"])
    except ConfigError as error:
        log.error("schedule_rhythm_unreadable", job=job["name"], detail=str(error))
        return None


END = text("""
update tds_schedule_slots set ended_at = now(), result = :result, detail = :detail
where job = :job and slot_at = :slot_at
""")


def end(session: Session, taken: Taken, *, result: str, detail: str = "") -> None:
    """Write down how a slot ended: completed or failed."""
    session.execute(END, {"job": taken.job, "slot_at": taken.slot_at, "result": result, "detail": detail[:500] or None})
