"""The table of findings: problems of entities and records that an operator should know."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Identity, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class Severity(StrEnum):
    """Severity of a finding."""

    NOTE = "note"  # worth knowing
    WARNING = "warning"  # something may be missing or wrong
    ERROR = "error"  # something is wrong


class Finding(Base):
    """A problem of an entity or one of its records that an operator should know; open until resolved."""

    __tablename__ = "tds_findings"
    __table_args__ = (
        Index(
            "uq_tds_findings_open",
            "kind",
            "source",
            "entity",
            "subject",
            unique=True,
            postgresql_where=text("resolved_at is null"),
        ),
        Index("ix_tds_findings_entity", "entity", "kind", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    severity: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    entity: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text, comment="what it is about: a field, a record's id")
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    first_seen_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    last_seen_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    resolved_at: Mapped[datetime | None] = mapped_column(Instant)
    resolved_by: Mapped[str | None] = mapped_column(Text)
