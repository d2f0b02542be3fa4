"""Table of validation reports: those made in the background, their progress, and what they found."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Identity, Index, Integer, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class StoredReport(Base):
    """A validation report that takes too long for one answer; a worker carries out its checks one by one."""

    __tablename__ = "tds_validation_reports"
    __table_args__ = (
        # Two requests for the same subject are one report.
        Index("uq_tds_validation_reports_open", "subject", unique=True, postgresql_where=text("ended_at is null")),
        Index("ix_tds_validation_reports_subject", "subject", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    subject: Mapped[str] = mapped_column(Text, comment="an entity, integrity or orphans")
    requested_by: Mapped[str] = mapped_column(Text)
    requested_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    started_at: Mapped[datetime | None] = mapped_column(Instant)
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    check_count: Mapped[int] = mapped_column(Integer, comment="how many checks it takes")
    checked_count: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="how many are done")
    current_check: Mapped[str | None] = mapped_column(Text, comment="the check that is next, or under way")
    tally: Mapped[dict[str, Any] | None] = mapped_column(JSONB, comment="what the checks that are done found")
    report: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    error: Mapped[str | None] = mapped_column(Text, comment="why it failed")
