"""Tables of webhook coverage: counts by entity and hour, changes not announced in time, and how far it is measured."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Index, Integer, SmallInteger, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class Announcement(StrEnum):
    """How a change that polling found was announced by webhook."""

    IN_TIME = "in_time"  # the webhook was here before polling found the change
    LATE = "late"  # it came afterwards
    NEVER = "never"  # none has come
    WRONG = "wrong"  # one came and was refused, or named another state of the record


class WebhookCoverage(Base):
    """The changes of one entity in one hour, by operation and by how they were announced.

    `hour_at` is when the source changed the records; of a deletion, when it was found. `webhook_count`: changes that a
    webhook itself brought.
    """

    __tablename__ = "tds_webhook_coverage"
    __table_args__ = (Index("ix_tds_webhook_coverage_hour", "hour_at"),)

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    entity: Mapped[str] = mapped_column(Text, primary_key=True)
    operation: Mapped[str] = mapped_column(Text, primary_key=True, comment="created, updated or deleted")
    hour_at: Mapped[datetime] = mapped_column(Instant, primary_key=True)
    webhook_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    in_time_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    late_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    never_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    wrong_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    counted_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())


class WebhookGap(Base):
    """A change that polling found and no webhook announced in time; `verdict` is never, wrong or late."""

    __tablename__ = "tds_webhook_gaps"
    __table_args__ = (
        Index("ix_tds_webhook_gaps_found", "found_at", "entry_id"),
        Index(
            "ix_tds_webhook_gaps_never", "entity", "operation", "changed_at", postgresql_where=text("verdict = 'never'")
        ),
        Index("ix_tds_webhook_gaps_record", "entity", "source_id", postgresql_where=text("verdict <> 'late'")),
    )

    entry_id: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, comment="of tds_audit_trail: a change counts once"
    )
    source: Mapped[str] = mapped_column(Text)
    entity: Mapped[str] = mapped_column(Text)
    source_id: Mapped[str] = mapped_column(Text)
    operation: Mapped[str] = mapped_column(Text)
    origin: Mapped[str] = mapped_column(Text, comment="what found it: run, sweep, comparison, ...")
    correlation_id: Mapped[str] = mapped_column(Text)
    source_modified_at: Mapped[datetime | None] = mapped_column(Instant)
    changed_at: Mapped[datetime] = mapped_column(Instant, comment="when the source changed it, as far as that is known")
    found_at: Mapped[datetime] = mapped_column(Instant)
    verdict: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text, comment="of wrong: a refusal's code, older_state or deleted")
    told_at: Mapped[datetime | None] = mapped_column(Instant, comment="when the late webhook came")


class WebhookRule(Base):
    """What measuring knows of one event of an entity that sends webhooks: since when it counts, when it was heard."""

    __tablename__ = "tds_webhook_rules"

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    entity: Mapped[str] = mapped_column(Text, primary_key=True)
    event: Mapped[str] = mapped_column(Text, primary_key=True, comment="created, updated or deleted")
    begins_at: Mapped[datetime | None] = mapped_column(Instant, comment="earlier changes do not count")
    last_told_at: Mapped[datetime | None] = mapped_column(Instant, comment="the newest change that was announced")
    last_received_at: Mapped[datetime | None] = mapped_column(Instant, comment="the newest webhook of this event")


class WebhookCoveragePosition(Base):
    """How far changes and webhooks are measured; one row.

    `entry_id`: the last measured entry of tds_audit_trail; `wait`: the writing transactions whose entries may still
    appear before later ones. `received_until`: webhooks received before were looked at.
    """

    __tablename__ = "tds_webhook_coverage_position"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    entry_id: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    wait: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    received_until: Mapped[datetime | None] = mapped_column(Instant)
    first_webhook_at: Mapped[datetime | None] = mapped_column(Instant)
    measured_at: Mapped[datetime | None] = mapped_column(Instant)
