"""Tables of dead letters: records given up, their retries and batches of retries, and operators' actions."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Integer, SmallInteger, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class DeadLetter(Base):
    """Work given up until a person decides. Nothing here is ever dropped by TDS itself."""

    __tablename__ = "tds_dead_letter_queue"
    __table_args__ = (
        Index("ix_tds_dead_letter_queue_open", "entity", "dead_at", postgresql_where=text("resolved_at is null")),
        Index("ix_tds_dead_letter_queue_record", "entity", "source_id", postgresql_where=text("resolved_at is null")),
        Index("ix_tds_dead_letter_queue_story", "entity", "source_id", "id"),  # closed ones, too
        Index("ix_tds_dead_letter_queue_fingerprint", "fingerprint"),
        Index("ix_tds_dead_letter_queue_resolved", "resolved_at", postgresql_where=text("resolved_at is not null")),
        Index(
            "uq_tds_dead_letter_queue_foreign_id",
            "source",
            "foreign_id",
            unique=True,
            postgresql_where=text("foreign_id is not null"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    entity: Mapped[str] = mapped_column(Text)
    source_id: Mapped[str] = mapped_column(Text)
    error_class: Mapped[str] = mapped_column(Text)
    error: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(
        Text, comment="class, entity and message shape: equal ones are one problem"
    )
    attempts: Mapped[int] = mapped_column(Integer)
    priority: Mapped[int] = mapped_column(SmallInteger)
    record: Mapped[dict[str, Any] | None] = mapped_column(JSONB, comment="the newest record known when it died")
    correlation_id: Mapped[str] = mapped_column(Text)
    dead_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    last_dead_at: Mapped[datetime] = mapped_column(
        Instant, server_default=func.now(), comment="when it failed like this last, revived or met again"
    )
    automatic_count: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="how often the timetable revived it"
    )
    assigned_to: Mapped[str | None] = mapped_column(Text)
    edited_at: Mapped[datetime | None] = mapped_column(
        Instant, comment="a person changed the record; the next revival applies it"
    )
    foreign_id: Mapped[str | None] = mapped_column(Text, comment="its id in the system it was imported from")
    resolved_at: Mapped[datetime | None] = mapped_column(Instant)
    resolution: Mapped[str | None] = mapped_column(Text, comment="revived, healed or resolved")


class DeadLetterRetryBatch(Base):
    """One request to retry many dead letters, at most `per_minute`; can be cancelled."""

    __tablename__ = "tds_dead_letter_batches"
    __table_args__ = (Index("ix_tds_dead_letter_batches_open", "id", postgresql_where=text("ended_at is null")),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    requested_by: Mapped[str] = mapped_column(Text)
    requested_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    asked: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="which letters were asked for")
    letter_count: Mapped[int] = mapped_column(Integer, comment="how many they were at that moment")
    per_minute: Mapped[int] = mapped_column(Integer)
    stepped_at: Mapped[datetime] = mapped_column(
        Instant, server_default=func.now(), comment="when letters were last revived"
    )
    cancelled_at: Mapped[datetime | None] = mapped_column(Instant)
    cancelled_by: Mapped[str | None] = mapped_column(Text)
    ended_at: Mapped[datetime | None] = mapped_column(Instant, comment="when the last of its letters had an outcome")
    correlation_id: Mapped[str] = mapped_column(Text)


class DeadLetterRetry(Base):
    """One retry of a dead letter: requested, turned into a work item, ended. A letter has at most one open retry."""

    __tablename__ = "tds_dead_letter_revivals"
    __table_args__ = (
        Index("uq_tds_dead_letter_revivals_open", "letter_id", unique=True, postgresql_where=text("ended_at is null")),
        Index("ix_tds_dead_letter_revivals_letter_id", "letter_id"),
        Index(
            "ix_tds_dead_letter_revivals_waiting",
            "batch_id",
            "id",
            postgresql_where=text("revived_at is null and ended_at is null"),
        ),
        Index("ix_tds_dead_letter_revivals_batch_id", "batch_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    letter_id: Mapped[int] = mapped_column(ForeignKey("tds_dead_letter_queue.id"))
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("tds_dead_letter_batches.id"))
    requested_by: Mapped[str] = mapped_column(Text)
    requested_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    died_of: Mapped[str] = mapped_column(Text, comment="what it was given up for before")
    revived_at: Mapped[datetime | None] = mapped_column(Instant, comment="when it became a work item again")
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    outcome: Mapped[str | None] = mapped_column(
        Text, comment="what became of its record, or dead, cancelled, resolved, confirmed"
    )
    error: Mapped[str | None] = mapped_column(Text, comment="what it died of again")


class DeadLetterAction(Base):
    """An operator's action on a dead letter other than a retry. Triggers refuse edits."""

    __tablename__ = "tds_dead_letter_actions"
    __table_args__ = (Index("ix_tds_dead_letter_actions_letter_id", "letter_id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    letter_id: Mapped[int] = mapped_column(ForeignKey("tds_dead_letter_queue.id"))
    acted_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    operator: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text, comment="imported, assigned, edited or resolved")
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
