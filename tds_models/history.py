"""The audit trail: every change of every record, before and after. The database refuses to edit it."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Identity, Index, Integer, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class AuditEntry(Base):
    """One change of one record, written in the transaction of the change.

    `changes` maps each changed field to `[before, after]`; numbers are spelled as text, times as ISO 8601 UTC.
    """

    __tablename__ = "tds_audit_trail"
    __table_args__ = (
        # A version exists once: the same change cannot be recorded, or made, twice.
        Index("uq_tds_audit_trail_version", "entity", "source_id", "source", "version", unique=True),
        Index("ix_tds_audit_trail_recorded_at", "recorded_at", postgresql_using="brin"),  # it only grows
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    entity: Mapped[str] = mapped_column(Text)
    source_id: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer)
    operation: Mapped[str] = mapped_column(Text, comment="created, updated, deleted or restored")
    changes: Mapped[dict[str, Any]] = mapped_column(JSONB)
    origin: Mapped[str] = mapped_column(Text, comment="webhook, run, healing or operator")
    origin_id: Mapped[int | None] = mapped_column(BigInteger, comment="the event or the run")
    correlation_id: Mapped[str] = mapped_column(Text)
    source_modified_at: Mapped[datetime | None] = mapped_column(Instant)
    recorded_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
