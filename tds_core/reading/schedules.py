"""The timetable as people see it: every job, its last slot and how that ended, and when it runs next."""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.reading.errors import NotFoundError
from tds_core.timetable.slots import next_slot

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
