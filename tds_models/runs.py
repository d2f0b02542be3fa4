"""Tables of runs: passes over a stream, their pages, their holds, and cursors of incremental reads."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, ForeignKey, Identity, Index, Integer, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class Mode(StrEnum):
    """What a run reads."""

    INCREMENTAL = "incremental"  # what changed since the cursor
    FULL = "full"  # everything, then a look for what is gone
    TARGETED = "targeted"  # given records
    DRY_RUN = "dry_run"  # what a pass would change; it changes nothing
    COMPARISON = "comparison"  # everything, to be compared with the mirror; it changes nothing


class RunState(StrEnum):
    """State of a run."""

    QUEUED = "queued"
    RUNNING = "running"
    HELD = "held"  # it would change more than the mass-change guard allows: an operator decides
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


#: States of a run that has not ended.
OPEN = (RunState.QUEUED, RunState.RUNNING, RunState.HELD)


class Run(Base):
    """One pass over a stream. `position`: where its next page begins; a crash repeats a page and skips none."""

    __tablename__ = "tds_sync_runs"
    __table_args__ = (
        # One open pass of a kind per stream: two would only fetch the same pages twice.
        Index(
            "uq_tds_sync_runs_open",
            "source",
            "entity",
            "mode",
            unique=True,
            postgresql_where=text("state in ('queued', 'running', 'held') and mode in ('full', 'incremental')"),
        ),
        Index("ix_tds_sync_runs_started", "entity", "requested_at"),
        Index("ix_tds_sync_runs_targeted", "entity", "id", postgresql_where=text("mode = 'targeted'")),
        Index("ix_tds_sync_runs_state", "state", "id", postgresql_where=text("state <> 'completed'")),
        Index("ix_tds_sync_runs_waits", "waits_for", postgresql_where=text("waits_for is not null")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    entity: Mapped[str] = mapped_column(Text)
    mode: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default=RunState.QUEUED.value)
    requested_by: Mapped[str] = mapped_column(Text)
    asked: Mapped[dict[str, Any]] = mapped_column(
        JSONB, server_default=text("'{}'"), comment="beside the mode: which records, or how a dry run reads"
    )
    requested_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    started_at: Mapped[datetime | None] = mapped_column(Instant)
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    end_reason: Mapped[str | None] = mapped_column(Text)
    next_attempt_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    attempts: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="failures since the last page that went well"
    )
    failures: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="the same, also those that do not count as attempts"
    )
    failed_at: Mapped[datetime | None] = mapped_column(Instant, comment="when the last of them was")
    waits_for: Mapped[str | None] = mapped_column(Text, comment="the circuit breaker whose closing ends the wait")
    position: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    page_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    api_call_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    fetched_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    skipped_count: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="rows that were as an earlier pass left them, byte by byte"
    )
    expected_count: Mapped[int | None] = mapped_column(
        Integer, comment="how many records the mirror knew when it began"
    )
    outcomes: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"), comment="records by outcome")
    changed_count: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="records the mirror had that it changed: what the guard counts"
    )
    report: Mapped[dict[str, Any] | None] = mapped_column(JSONB, comment="what a dry run found")
    cancel_requested_at: Mapped[datetime | None] = mapped_column(Instant)
    lease_token: Mapped[UUID | None]
    leased_by: Mapped[str | None] = mapped_column(Text)
    leased_until: Mapped[datetime | None] = mapped_column(Instant)
    correlation_id: Mapped[str] = mapped_column(Text)


class RunHold(Base):
    """A hold of a run that would change too much: reason, preview and decision."""

    __tablename__ = "tds_run_holds"
    __table_args__ = (
        Index("uq_tds_run_holds_open", "run_id", unique=True, postgresql_where=text("decided_at is null")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("tds_sync_runs.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(Text, comment="change or deletion")
    reason: Mapped[str] = mapped_column(Text)
    record_count: Mapped[int] = mapped_column(Integer, comment="how many records the run would have come to")
    preview: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="counts and some examples")
    held_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    decision: Mapped[str | None] = mapped_column(Text, comment="approved, rejected or cancelled")
    decided_by: Mapped[str | None] = mapped_column(Text)
    decided_at: Mapped[datetime | None] = mapped_column(Instant)
    approved_count: Mapped[int | None] = mapped_column(Integer, comment="how many records the run may come to")


class RunPage(Base):
    """One page read by a run, with its ids: records that no page of a complete run lists were deleted."""

    __tablename__ = "tds_sync_run_pages"

    run_id: Mapped[int] = mapped_column(ForeignKey("tds_sync_runs.id", ondelete="CASCADE"), primary_key=True)
    page: Mapped[int] = mapped_column(Integer, primary_key=True)
    source_ids: Mapped[list[str]] = mapped_column(ARRAY(Text))
    list_hashes: Mapped[bytes | None] = mapped_column(
        LargeBinary, comment="the fingerprints of these rows, 16 bytes each, in the same order"
    )
    fetch_seconds: Mapped[float]
    apply_seconds: Mapped[float]
    read_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())


class SyncCursor(Base):
    """Where the next incremental read of a stream begins."""

    __tablename__ = "tds_sync_cursors"

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    entity: Mapped[str] = mapped_column(Text, primary_key=True)
    modified_at: Mapped[datetime] = mapped_column(Instant, comment="the newest modification time a page showed")
    updated_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    run_id: Mapped[int | None] = mapped_column(BigInteger)
