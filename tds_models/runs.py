"""Passes over a stream: runs, the pages they read, and the cursors they leave behind."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, ForeignKey, Identity, Index, Integer, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class Mode(StrEnum):
    """What a run reads."""

    INCREMENTAL = "incremental"  # what changed since the cursor
    FULL = "full"  # everything, then a look for what is gone
    TARGETED = "targeted"  # given records


class RunState(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Run(Base):
    """One pass over a stream. `position` is where its next page begins: a crash repeats a page and skips none."""

    __tablename__ = "tds_sync_runs"
    __table_args__ = (
        # One open pass per stream: two would only fetch the same pages twice.
        Index(
            "uq_tds_sync_runs_open",
            "source",
            "entity",
            unique=True,
            postgresql_where=text("state in ('queued', 'running') and mode <> 'targeted'"),
        ),
        Index("ix_tds_sync_runs_started", "entity", "requested_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    entity: Mapped[str] = mapped_column(Text)
    mode: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default=RunState.QUEUED.value)
    requested_by: Mapped[str] = mapped_column(Text)
    requested_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    started_at: Mapped[datetime | None] = mapped_column(Instant)
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    end_reason: Mapped[str | None] = mapped_column(Text)
    next_attempt_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    attempts: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="failures since the last page that went well"
    )
    position: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    page_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    api_call_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    fetched_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    expected_count: Mapped[int | None] = mapped_column(
        Integer, comment="how many records the mirror knew when it began"
    )
    outcomes: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"), comment="records by outcome")
    cancel_requested_at: Mapped[datetime | None] = mapped_column(Instant)
    lease_token: Mapped[UUID | None]
    leased_until: Mapped[datetime | None] = mapped_column(Instant)
    correlation_id: Mapped[str] = mapped_column(Text)


class RunPage(Base):
    """One page a run read: the ids on it, so that what a complete listing did not show can be found."""

    __tablename__ = "tds_sync_run_pages"

    run_id: Mapped[int] = mapped_column(ForeignKey("tds_sync_runs.id", ondelete="CASCADE"), primary_key=True)
    page: Mapped[int] = mapped_column(Integer, primary_key=True)
    source_ids: Mapped[list[str]] = mapped_column(ARRAY(Text))
    fetch_seconds: Mapped[float]
    apply_seconds: Mapped[float]
    read_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())


class Cursor(Base):
    """Where the next incremental read of a stream begins."""

    __tablename__ = "tds_sync_cursors"

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    entity: Mapped[str] = mapped_column(Text, primary_key=True)
    modified_at: Mapped[datetime] = mapped_column(Instant, comment="the newest modification time a page showed")
    updated_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    run_id: Mapped[int | None] = mapped_column(BigInteger)
