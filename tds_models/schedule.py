"""Tables of the schedule: jobs, one row for each slot, and heartbeats of processes."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class ScheduledJob(Base):
    """One scheduled job, changeable while TDS runs. `missed`: what happens to slots that no process took."""

    __tablename__ = "tds_scheduled_jobs"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    cron: Mapped[str] = mapped_column(Text, comment="five fields, UTC; or every:SECONDS")
    task: Mapped[str] = mapped_column(Text)
    arguments: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    missed: Mapped[str] = mapped_column(Text, server_default="once", comment="once: caught up once; skip: left out")
    paused_at: Mapped[datetime | None] = mapped_column(Instant)
    updated_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())


class ScheduleSlot(Base):
    """One slot of one job. Its primary key prevents two schedulers from running it twice."""

    __tablename__ = "tds_schedule_slots"
    __table_args__ = (Index("ix_tds_schedule_slots_slot_at", "slot_at"),)

    job: Mapped[str] = mapped_column(ForeignKey("tds_scheduled_jobs.name", ondelete="CASCADE"), primary_key=True)
    slot_at: Mapped[datetime] = mapped_column(Instant, primary_key=True)
    claimed_at: Mapped[datetime | None] = mapped_column(
        Instant, server_default=func.now(), comment="null: asked for by a person, and nobody's yet"
    )
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("1"), comment="how often it was taken")
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    result: Mapped[str | None] = mapped_column(Text, comment="completed, failed, skipped or lost")
    detail: Mapped[str | None] = mapped_column(Text)


class ProcessHeartbeat(Base):
    """The last heartbeat of a process."""

    __tablename__ = "tds_pulses"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    beat_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
