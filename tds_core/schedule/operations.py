"""What operators do to the timetable: pause a job, resume it, give it another rhythm, run it now."""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import TdsError
from tds_core.schedule.jobs import TakenSlot
from tds_core.schedule.slots import next_slot


class UnknownJobError(TdsError):
    """The timetable has no such job."""

    code = "unknown_job"


_NAMES = text("select name from tds_scheduled_jobs order by name")
_PAUSE = text("update tds_scheduled_jobs set paused_at = coalesce(paused_at, now()) where name = :name")
# The slots that went by while a job was paused are not missed ones: it begins anew.
_RESUME = text("update tds_scheduled_jobs set paused_at = null, updated_at = now() where name = :name")
_SET = text("update tds_scheduled_jobs set cron = :cron, updated_at = now() where name = :name")
_POLICY = text("update tds_scheduled_jobs set missed = :missed where name = :name")
_ASK = text("""
insert into tds_schedule_slots (job, slot_at, claimed_at, attempts)
select name, clock_timestamp(), null, 1 from tds_scheduled_jobs where name = :name
""")
_RUN = text("""
insert into tds_schedule_slots (job, slot_at) select name, clock_timestamp() from tds_scheduled_jobs where name = :name
returning slot_at, claimed_at, (select task from tds_scheduled_jobs where name = :name),
          (select arguments from tds_scheduled_jobs where name = :name)
""")


def pause(session: Session, name: str) -> None:
    """Let no slot of the job run until it is resumed. Raises UnknownJobError."""
    _change(session, _PAUSE, name)


def resume(session: Session, name: str) -> None:
    """Let the job run again from its next slot on. Raises UnknownJobError."""
    _change(session, _RESUME, name)


def set_rhythm(session: Session, name: str, rhythm: str) -> datetime:
    """Give the job another rhythm (five cron fields in UTC, or every:SECONDS); returns its next slot.

    Raises ConfigError for a rhythm that is none, and UnknownJobError.
    """
    now = session.execute(text("select now()")).scalar_one()
    upcoming = next_slot(rhythm, now)
    _change(session, _SET, name, cron=rhythm)
    return upcoming


def set_missed(session: Session, name: str, missed: str) -> None:
    """Say what happens to slots the job missed: `once` catches up on them once, `skip` leaves them out.

    Raises UnknownJobError.
    """
    _change(session, _POLICY, name, missed=missed)


def ask_now(session: Session, name: str) -> None:
    """Ask for a slot outside the rhythm; whoever next looks at the timetable takes it. Raises UnknownJobError."""
    _change(session, _ASK, name)


def take_now(session: Session, name: str) -> TakenSlot:
    """Take a slot outside the rhythm, to be run by the caller. Raises UnknownJobError."""
    row = session.execute(_RUN, {"name": name}).first()
    if row is None:
        raise _unknown(session, name)
    slot_at, claimed_at, task, arguments = row
    return TakenSlot(name, slot_at, claimed_at, task, arguments)


def _change(session: Session, statement: Any, name: str, **values: str) -> None:
    if not getattr(session.execute(statement, {"name": name, **values}), "rowcount", 0):
        raise _unknown(session, name)


def _unknown(session: Session, name: str) -> UnknownJobError:
    known = ", ".join(session.execute(_NAMES).scalars()) or "none yet: it is filled when TDS first runs"
    return UnknownJobError(f"There is no job {name[:80]!r}. Jobs: {known}.")
