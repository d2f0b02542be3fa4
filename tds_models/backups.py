"""Tables of backups and of restores: what was backed up, and when a backup was last restored and held against Zoho."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Identity, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class Backup(Base):
    """A backup that was taken, or failed. The truth about those that exist is the directory they are in."""

    __tablename__ = "tds_backups"
    __table_args__ = (Index("ix_tds_backups_ended_at", "ended_at"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(Text, comment="of its folder; empty: it failed before there was one")
    kind: Mapped[str] = mapped_column(Text, comment="full or incremental")
    started_at: Mapped[datetime] = mapped_column(Instant)
    ended_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    byte_count: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    error: Mapped[str | None] = mapped_column(Text, comment="why it failed; null: it is whole")


class Restore(Base):
    """A restore that ended: a drill beside the database, or one that took its place."""

    __tablename__ = "tds_restores"
    __table_args__ = (Index("ix_tds_restores_ended_at", "ended_at"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str] = mapped_column(Text, comment="drill, or restore: it took the place of the database")
    backup: Mapped[str] = mapped_column(Text, comment="the name of the newest backup it began from")
    target_at: Mapped[datetime | None] = mapped_column(Instant, comment="the moment asked for; null: the newest")
    reached_at: Mapped[datetime | None] = mapped_column(Instant, comment="when the newest change it holds was made")
    started_at: Mapped[datetime] = mapped_column(Instant)
    ended_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    error: Mapped[str | None] = mapped_column(Text, comment="what was wrong; null: nothing")
    steps: Mapped[list[dict[str, Any]]] = mapped_column(
        JSONB, server_default=text("'[]'"), comment="name, seconds and result of each step"
    )
