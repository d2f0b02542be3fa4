"""Outgoing change events: subscriptions, their pending deliveries, and the log of deliveries."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, ForeignKey, Identity, Index, Integer, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant
from tds_models.queue import HOT

NOTHING = text("'{}'")


class EventKind(StrEnum):
    """What happened to a record; the names of the history's operations."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    RESTORED = "restored"
    REPAIRED = "repaired"  # its row had been deleted by hand


class SubscriptionState(StrEnum):
    """State of a subscription."""

    ACTIVE = "active"
    PAUSED = "paused"  # by an operator
    DISABLED = "disabled"  # its receiver answered 410 Gone, or failed for too long


class DeliveryState(StrEnum):
    """The state of an event that was attempted."""

    DELIVERED = "delivered"
    FAILING = "failing"  # will be retried
    GIVEN_UP = "given_up"  # until an operator replays it
    REPLAYED = "replayed"  # was given up, and is sent again under another id


class Subscription(Base):
    """A receiver of change events: its address, what it wants, and the secrets that sign.

    `position`: up to this id of the history every event it wants was delivered, given up, or is pending. Empty lists of
    entities, kinds or fields stand for all of them.
    """

    __tablename__ = "tds_subscriptions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    url: Mapped[str] = mapped_column(Text)
    entities: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=NOTHING)
    kinds: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=NOTHING)
    fields: Mapped[list[str]] = mapped_column(
        ARRAY(Text), server_default=NOTHING, comment="updates of others are not told, nor their values"
    )
    secret: Mapped[bytes] = mapped_column(LargeBinary, comment="locked with TDS_SECRET_KEY")
    previous_secret: Mapped[bytes | None] = mapped_column(LargeBinary, comment="signs, too, until previous_until")
    previous_until: Mapped[datetime | None] = mapped_column(Instant)
    message_key: Mapped[str] = mapped_column(Text, comment="makes the ids of its messages its own")
    state: Mapped[str] = mapped_column(Text, server_default=SubscriptionState.ACTIVE.value)
    state_reason: Mapped[str | None] = mapped_column(Text)
    state_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    position: Mapped[int] = mapped_column(BigInteger)
    replay_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    replayed_to: Mapped[int] = mapped_column(
        BigInteger, server_default=text("0"), comment="events up to this id belong to the newest replay"
    )
    failure_count: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="in a row, of any events")
    failing_since: Mapped[datetime | None] = mapped_column(Instant)
    rest_count: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="in a row")
    rests_until: Mapped[datetime | None] = mapped_column(Instant)
    delivered_at: Mapped[datetime | None] = mapped_column(Instant, comment="when it last took an event")
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())


class PendingDelivery(Base):
    """The pending events of one record for one subscription: the event to send next, and the last one known.

    One of them is sent at a time, so a record's events arrive in order. The events themselves are entries of the
    history; the row is deleted when none is left.
    """

    __tablename__ = "tds_outbound_lanes"
    __table_args__ = (
        Index(
            "uq_tds_outbound_lanes_record", "subscription_id", "entity", "source_id", "source", unique=True,
        ),
        Index("ix_tds_outbound_lanes_due", "subscription_id", "next_attempt_at"),
        Index("ix_tds_outbound_lanes_leased", "subscription_id", postgresql_where=text("lease_token is not null")),
        HOT,
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    subscription_id: Mapped[int] = mapped_column(ForeignKey("tds_subscriptions.id", ondelete="CASCADE"))
    source: Mapped[str] = mapped_column(Text)
    entity: Mapped[str] = mapped_column(Text)
    source_id: Mapped[str] = mapped_column(Text)
    entry_id: Mapped[int] = mapped_column(BigInteger, comment="the entry of the history to be sent")
    version: Mapped[int] = mapped_column(Integer, comment="its version of the record")
    last_id: Mapped[int] = mapped_column(BigInteger, comment="no entry behind this one was looked at yet")
    replay: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="0: told for the first time")
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    failed_at: Mapped[datetime | None] = mapped_column(Instant, comment="when it first did")
    status: Mapped[int | None] = mapped_column(Integer, comment="the answer to its last attempt; null: none came")
    next_attempt_at: Mapped[datetime] = mapped_column(
        Instant, server_default=func.now(), comment="while it is leased: when the lease ends"
    )
    lease_token: Mapped[UUID | None]
    leased_by: Mapped[str | None] = mapped_column(Text)


class EventDelivery(Base):
    """An event that was sent to a subscription, with the result of each attempt."""

    __tablename__ = "tds_event_deliveries"
    __table_args__ = (
        Index("uq_tds_event_deliveries_message", "subscription_id", "message_id", unique=True),
        Index("ix_tds_event_deliveries_subscription", "subscription_id", "id"),
        Index("ix_tds_event_deliveries_attempted_at", "attempted_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    subscription_id: Mapped[int] = mapped_column(ForeignKey("tds_subscriptions.id", ondelete="CASCADE"))
    message_id: Mapped[str] = mapped_column(Text, comment="its webhook-id")
    entry_id: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[str] = mapped_column(Text)
    entity: Mapped[str] = mapped_column(Text)
    source_id: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer)
    status: Mapped[int | None] = mapped_column(Integer)
    duration_seconds: Mapped[float]
    error: Mapped[str | None] = mapped_column(Text)
    tries: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, comment="of each attempt: at, status, seconds, error")
    first_attempted_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    attempted_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
