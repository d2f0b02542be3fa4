"""Operations on scheduled jobs: pause, resume, change the schedule, request a run now."""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import TdsError
from tds_core.schedule.job_store import ClaimedSlot
from tds_core.schedule.slots import next_slot


class UnknownJobError(TdsError):
    """The timetable has no such job."""

    code = "unknown_job"


_NAMES = text("select name from tds_scheduled_jobs order by name")
_PAUSE = text("update tds_scheduled_jobs set paused_at = coalesce(paused_at, now()) where name = :name")
# Slots that passed while the job was paused do not count as missed: `updated_at` begins it anew.
_RESUME = text("update tds_scheduled_jobs set paused_at = null, updated_at = now() where name = :name")
_SET = text("update tds_scheduled_jobs set cron = :cron, updated_at = now() where name = :name")
_POLICY = text("update tds_scheduled_jobs set missed = :missed where name = :name")
_REQUEST = text("""
insert into tds_schedule_slots (job, slot_at, claimed_at, attempts)
select name, clock_timestamp(), null, 1 from tds_scheduled_jobs where name = :name
""")
_CLAIM = text("""
insert into tds_schedule_slots (job, slot_at) select name, clock_timestamp() from tds_scheduled_jobs where name = :name
returning slot_at, claimed_at, (select task from tds_scheduled_jobs where name = :name),
          (select arguments from tds_scheduled_jobs where name = :name)
""")


def pause(session: Session, name: str) -> None:
    """Run no slot of the job until it is resumed. Raises UnknownJobError."""
    _change(session, _PAUSE, name)


def resume(session: Session, name: str) -> None:
    """Run the job again from its next slot on. Raises UnknownJobError."""
    _change(session, _RESUME, name)


def set_rhythm(session: Session, name: str, rhythm: str) -> datetime:
    """Change the schedule of a job, see `slots`. Returns its next slot.

    Raises ConfigError for an invalid schedule, and UnknownJobError.
    """
    now = session.execute(text("select now()")).scalar_one()
    upcoming = next_slot(rhythm, now)
    _change(session, _SET, name, cron=rhythm)
    return upcoming


def set_missed(session: Session, name: str, missed: str) -> None:
    """Change what happens after missed slots: `once` runs the job once for all of them, `skip` not at all.

    Raises UnknownJobError.
    """
    _change(session, _POLICY, name, missed=missed)


def request_now(session: Session, name: str) -> None:
    """Request a slot at once; the next Beat claims it. Raises UnknownJobError."""
    _change(session, _REQUEST, name)


def claim_now(session: Session, name: str) -> ClaimedSlot:
    """Claim a slot at once, which the caller has to run. Raises UnknownJobError."""
    row = session.execute(_CLAIM, {"name": name}).first()
    if row is None:
        raise _unknown(session, name)
    slot_at, claimed_at, task, arguments = row
    return ClaimedSlot(name, slot_at, claimed_at, task, arguments)


def _change(session: Session, statement: Any, name: str, **values: str) -> None:
    if not getattr(session.execute(statement, {"name": name, **values}), "rowcount", 0):
        raise _unknown(session, name)


def _unknown(session: Session, name: str) -> UnknownJobError:
    known = ", ".join(session.execute(_NAMES).scalars()) or "none yet: it is filled when TDS first runs"
    return UnknownJobError(f"There is no job {name[:80]!r}. Jobs: {known}.")
