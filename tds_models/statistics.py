"""Tables of statistics: figures by hour and by day, samples of whether TDS was up, and deployments."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class Grain(StrEnum):
    """How long the span of a row of history is."""

    HOUR = "hour"
    DAY = "day"  # of the installation's time zone: 23 or 25 hours where clocks are changed


class StatisticsHistory(Base):
    """The figures of one entity, or of the whole installation, in one hour or on one day.

    `figures` is the mirror as it was when last measured within the span; `activity` counts what happened in it.
    """

    __tablename__ = "tds_statistics_history"
    __table_args__ = (
        CheckConstraint("grain in ('hour', 'day')", name="grain"),
        Index("ix_tds_statistics_history_began_at", "grain", "began_at"),
    )

    entity: Mapped[str] = mapped_column(Text, primary_key=True, comment="installation: what is of no entity")
    grain: Mapped[str] = mapped_column(Text, primary_key=True)
    began_at: Mapped[datetime] = mapped_column(Instant, primary_key=True)
    figures: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB(none_as_null=True), comment="null: not measured within the span"
    )
    measured_at: Mapped[datetime | None] = mapped_column(Instant, comment="when the figures were measured")
    activity: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), comment="null: not counted yet")


class UptimeSample(Base):
    """Whether TDS made progress at one moment; a span without samples counts as down."""

    __tablename__ = "tds_uptime_samples"

    sampled_at: Mapped[datetime] = mapped_column(Instant, primary_key=True)
    is_up: Mapped[bool]
    reason: Mapped[str | None] = mapped_column(Text, comment="what stood still; null while up")


class Deployment(Base):
    """A version of TDS that began to run here, another than the one before it."""

    __tablename__ = "tds_deployments"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    began_at: Mapped[datetime] = mapped_column(Instant, server_default=func.clock_timestamp())
    version: Mapped[str] = mapped_column(Text)
    schema_revision: Mapped[str] = mapped_column(Text, comment="of the database, when it began")
