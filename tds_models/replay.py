"""Tables of event replays: a batch of events that are received again on one request, and what became of each."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Integer, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class ReplayBatch(Base):
    """One request to replay many events, at most `per_minute`; can be cancelled."""

    __tablename__ = "tds_replay_batches"
    __table_args__ = (Index("ix_tds_replay_batches_open", "id", postgresql_where=text("ended_at is null")),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    requested_by: Mapped[str] = mapped_column(Text)
    requested_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    asked: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="which events were asked for")
    taken_at: Mapped[datetime] = mapped_column(Instant, comment="when the selection was shown")
    event_count: Mapped[int] = mapped_column(Integer)
    per_minute: Mapped[int] = mapped_column(Integer)
    stepped_at: Mapped[datetime] = mapped_column(
        Instant, server_default=func.now(), comment="when events were last replayed"
    )
    cancelled_at: Mapped[datetime | None] = mapped_column(Instant)
    cancelled_by: Mapped[str | None] = mapped_column(Text)
    ended_at: Mapped[datetime | None] = mapped_column(Instant, comment="when its last event was replayed or left")
    correlation_id: Mapped[str] = mapped_column(Text)


class ReplayedEvent(Base):
    """One event of a batch; `outcome` is null until its turn comes."""

    __tablename__ = "tds_replayed_events"
    __table_args__ = (
        Index("ix_tds_replayed_events_waiting", "batch_id", "event_id", postgresql_where=text("outcome is null")),
    )

    batch_id: Mapped[int] = mapped_column(ForeignKey("tds_replay_batches.id", ondelete="CASCADE"), primary_key=True)
    event_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    outcome: Mapped[str | None] = mapped_column(Text, comment="replayed, refused, gone, owed or cancelled")
    new_event_id: Mapped[int | None] = mapped_column(BigInteger, comment="the event it was received again as")
    error: Mapped[str | None] = mapped_column(Text, comment="why it was refused")
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
