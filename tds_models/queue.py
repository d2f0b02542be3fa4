"""Tables of the queue: one live work item per record, the log of attempts, and pauses."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Identity,
    Index,
    Integer,
    Sequence,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant

# One sequence for all records, so that no generation is used twice, even after an item was deleted and created again.
GENERATION = Sequence("tds_generation_seq", metadata=Base.metadata)

# Queue tables bloat: vacuum early and leave room for updates in place.
HOT = {
    "postgresql_with": {
        "fillfactor": 70,
        "autovacuum_vacuum_scale_factor": 0.02,
        "autovacuum_vacuum_threshold": 500,
        "autovacuum_vacuum_cost_delay": 0,
    }
}


class WorkItem(Base):
    """One record to be synced. Finished items are deleted; `tds_sync_logs` keeps their attempts.

    A claim sets `lease_token`; every later write requires it, so that a worker that lost its lease writes nothing.
    Every event raises `generation`; completion requires the generation that was claimed.
    """

    __tablename__ = "tds_sync_queue"
    __table_args__ = (
        UniqueConstraint("source", "entity", "source_id"),
        CheckConstraint("(lease_token is null) = (leased_until is null)", name="lease_whole"),
        Index(
            "ix_tds_sync_queue_due",
            "entity",
            "priority",
            "next_attempt_at",
            postgresql_where=text("lease_token is null"),
        ),
        Index("ix_tds_sync_queue_suspect", "entity", postgresql_where=text("crashes > 0")),
        Index(
            "ix_tds_sync_queue_waits",
            "entity",
            "waits_for",
            "failures",
            "priority",
            "next_attempt_at",
            postgresql_where=text("waits_for is not null"),
        ),
        Index("ix_tds_sync_queue_leased", "leased_until", postgresql_where=text("lease_token is not null")),
        HOT,
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    entity: Mapped[str] = mapped_column(Text)
    source_id: Mapped[str] = mapped_column(Text)
    generation: Mapped[int] = mapped_column(BigInteger, GENERATION, server_default=GENERATION.next_value())
    must_read: Mapped[bool] = mapped_column(server_default=text("false"), comment="no body will do: ask the source")
    origin: Mapped[str] = mapped_column(Text, server_default="webhook", comment="which door it came through")
    priority: Mapped[int] = mapped_column(SmallInteger)
    next_attempt_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    attempts: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="counted at the claim, so a crash counts"
    )
    snoozes: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    crashes: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="leases that ended without a word")
    failures: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="times its reading failed, counted as attempts or not"
    )
    failed_at: Mapped[datetime | None] = mapped_column(Instant, comment="when it did so last")
    waits_for: Mapped[str | None] = mapped_column(Text, comment="the circuit breaker whose closing ends the wait")
    lease_token: Mapped[UUID | None]
    leased_until: Mapped[datetime | None] = mapped_column(Instant)
    leased_by: Mapped[str | None] = mapped_column(Text)
    last_error: Mapped[str | None] = mapped_column(Text)
    correlation_id: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())


class WebhookOnlyRecord(Base):
    """A record known only from a webhook: still to be read, or known not to exist at the source."""

    __tablename__ = "tds_strangers"
    __table_args__ = (Index("ix_tds_strangers_due", "told_at", postgresql_where=text("absent_at is null")),)

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    entity: Mapped[str] = mapped_column(Text, primary_key=True)
    source_id: Mapped[str] = mapped_column(Text, primary_key=True)
    told_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    absent_at: Mapped[datetime | None] = mapped_column(Instant, comment="when the source said that it has none")


class BackfillPause(Base):
    """A pause of bulk work for one API of a source, because its share of the quota is used."""

    __tablename__ = "tds_backfill_rests"

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    api: Mapped[str] = mapped_column(Text, primary_key=True)
    rests_until: Mapped[datetime] = mapped_column(Instant)
    reason: Mapped[str] = mapped_column(Text)


class QueuePause(Base):
    """An entity paused by an operator; events and work items still come in."""

    __tablename__ = "tds_queue_pauses"

    entity: Mapped[str] = mapped_column(Text, primary_key=True)
    paused_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    paused_by: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)


class Attempt(Base):
    """One attempt at a work item and its outcome. Partitioned by week; see `tds_models.partitions`."""

    __tablename__ = "tds_sync_logs"
    __table_args__ = (
        Index("ix_tds_sync_logs_record", "entity", "source_id", "ended_at"),
        Index("ix_tds_sync_logs_ended_at", "ended_at"),
        {"postgresql_partition_by": "RANGE (ended_at)"},
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    entity: Mapped[str] = mapped_column(Text)
    source_id: Mapped[str] = mapped_column(Text)
    generation: Mapped[int] = mapped_column(BigInteger)
    attempt: Mapped[int] = mapped_column(Integer)
    outcome: Mapped[str] = mapped_column(Text, comment="an outcome, or retry, snooze, dead, crashed")
    error_class: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    worker: Mapped[str | None] = mapped_column(Text)
    correlation_id: Mapped[str] = mapped_column(Text)
    waited_seconds: Mapped[float | None]
    exchange: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB, comment="the call it was read with: path, status, code, seconds; none where a webhook's body was enough"
    )
    ended_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now(), primary_key=True)
