"""Tables of healing: cycles, actions, canaries of queues, and the status of worker processes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Float, ForeignKey, Identity, Index, Integer, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class HealingCycle(Base):
    """One cycle over all healing actions."""

    __tablename__ = "tds_healing_cycles"
    __table_args__ = (Index("ix_tds_healing_cycles_began_at", "began_at"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    began_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    cause: Mapped[str] = mapped_column(Text, comment="beat, dispatcher or operator")
    requested_by: Mapped[str | None] = mapped_column(Text, comment="the operator")
    counts: Mapped[dict[str, Any]] = mapped_column(
        JSONB, server_default=text("'{}'"), comment="what each action put right; null: it failed"
    )


class HealingAction(Base):
    """One repair, or one problem reported to operators."""

    __tablename__ = "tds_healing_actions"
    __table_args__ = (
        Index("ix_tds_healing_actions_acted_at", "acted_at"),
        Index("ix_tds_healing_actions_action", "action", "subject", "id"),
        Index("ix_tds_healing_actions_cycle_id", "cycle_id"),
        Index("ix_tds_healing_actions_outcome", "outcome", "id", postgresql_where=text("outcome <> 'done'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    acted_at: Mapped[datetime] = mapped_column(Instant, server_default=func.clock_timestamp())
    cycle_id: Mapped[int | None] = mapped_column(
        ForeignKey("tds_healing_cycles.id", ondelete="SET NULL"), comment="null: between two cycles"
    )
    action: Mapped[str] = mapped_column(Text)
    cause: Mapped[str] = mapped_column(Text, comment="beat, dispatcher or operator")
    entity: Mapped[str | None] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(Text, comment="a breaker, a worker, a queue, a run")
    count: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    outcome: Mapped[str] = mapped_column(Text, comment="done, failed or reported")
    lasted_seconds: Mapped[float | None] = mapped_column(Float, comment="how long it had been wrong by then")
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))


class Canary(Base):
    """The last canary message sent to a queue, and when one was last received."""

    __tablename__ = "tds_canaries"

    queue: Mapped[str] = mapped_column(Text, primary_key=True)
    nonce: Mapped[UUID]
    sent_at: Mapped[datetime] = mapped_column(Instant, server_default=func.clock_timestamp())
    unanswered_count: Mapped[int] = mapped_column(Integer, server_default=text("1"), comment="since the last answer")
    unanswered_since: Mapped[datetime | None] = mapped_column(Instant, server_default=func.clock_timestamp())
    heard_at: Mapped[datetime | None] = mapped_column(Instant)
    heard_by: Mapped[str | None] = mapped_column(Text)
    heard_seconds: Mapped[float | None] = mapped_column(Float, comment="how long that one took")


class WorkerProcess(Base):
    """A worker process as it last reported itself, every few seconds; a set `deaf_at` makes it end."""

    __tablename__ = "tds_listeners"
    __table_args__ = (Index("ix_tds_listeners_open", "name", postgresql_where=text("ended_at is null")),)

    process: Mapped[str] = mapped_column(Text, primary_key=True, comment="host, process and place")
    name: Mapped[str] = mapped_column(Text, comment="what Celery calls it")
    born: Mapped[float] = mapped_column(
        Float, comment="when the process began, so that its id is not taken for another's"
    )
    ear: Mapped[str] = mapped_column(Text, comment="the queue only it listens to")
    version: Mapped[str | None] = mapped_column(Text, comment="of TDS; null: of a worker that does not tell")
    slot_count: Mapped[int] = mapped_column(Integer)
    busy_count: Mapped[int] = mapped_column(Integer)
    queues: Mapped[list[str]] = mapped_column(ARRAY(Text))
    lost_queues: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="it listened there when it began")
    started_at: Mapped[datetime] = mapped_column(Instant, server_default=func.clock_timestamp())
    alive_at: Mapped[datetime] = mapped_column(Instant, comment="when it told this")
    heard_at: Mapped[datetime] = mapped_column(Instant, comment="when it last took up a message")
    looped_at: Mapped[datetime] = mapped_column(Instant, comment="when its main loop last went round")
    deaf_at: Mapped[datetime | None] = mapped_column(Instant, comment="when it was found deaf")
    deaf_reason: Mapped[str | None] = mapped_column(Text)
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    end_reason: Mapped[str | None] = mapped_column(Text, comment="stopped, deaf, gone or silent")
