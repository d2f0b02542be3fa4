"""Tables of the inbox: webhook events as received, their fingerprints, and deliveries that were refused."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, Sequence, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant

EVENT_ID = Sequence("tds_event_id_seq", metadata=Base.metadata)


class Verdict(StrEnum):
    """The final status of an event. Every accepted event gets exactly one."""

    APPLIED = "applied"  # its record was written
    UNCHANGED = "unchanged"  # the mirror was already equal
    SUPERSEDED = "superseded"  # a newer event of the same record was applied instead
    STALE = "stale"  # the mirror was already newer
    DELETED = "deleted"  # the source no longer has the record
    QUARANTINED = "quarantined"  # signed, but cannot be parsed
    DEAD_LETTERED = "dead_lettered"  # given up until an operator decides


# Nine in ten events end otherwise, so a search for these needs an index.
_RARE = text("verdict in ('superseded', 'stale', 'deleted', 'quarantined', 'dead_lettered')")


class InboxEvent(Base):
    """A webhook as received. `verdict` is null until its record was synced.

    Partitioned by day; see `tds_models.partitions`. Ids come from one sequence, so an id alone names an event.
    """

    __tablename__ = "tds_inbox_events"
    __table_args__ = (
        Index(
            "ix_tds_inbox_events_open",
            "entity",
            "source_id",
            "generation",
            postgresql_where=text("verdict is null"),
        ),
        # In the order of lists; covers the counts of received events.
        Index("ix_tds_inbox_events_received", "received_at", "id", postgresql_include=["entity", "verdict"]),
        Index("ix_tds_inbox_events_rare", "verdict", "received_at", "id", postgresql_where=_RARE),
        Index("ix_tds_inbox_events_record", "entity", "source_id", "id"),
        {"postgresql_partition_by": "RANGE (received_at)"},
    )

    id: Mapped[int] = mapped_column(BigInteger, EVENT_ID, server_default=EVENT_ID.next_value(), primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    entity: Mapped[str | None] = mapped_column(Text)
    event: Mapped[str | None] = mapped_column(Text, comment="created, updated or deleted; edited by a person")
    source_id: Mapped[str | None] = mapped_column(Text)
    source_modified_at: Mapped[datetime | None] = mapped_column(Instant)
    record: Mapped[dict[str, Any] | None] = mapped_column(JSONB, comment="the record inside the wrapper")
    raw: Mapped[bytes | None] = mapped_column(LargeBinary, comment="the body as it came, when it was not understood")
    complete: Mapped[bool] = mapped_column(server_default=text("false"), comment="the record may be applied as it is")
    generation: Mapped[int | None] = mapped_column(BigInteger, comment="the work item's generation it asked for")
    correlation_id: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now(), primary_key=True)
    verdict: Mapped[str | None] = mapped_column(Text)
    verdict_at: Mapped[datetime | None] = mapped_column(Instant)
    verdict_reason: Mapped[str | None] = mapped_column(Text)


class InboxFingerprint(Base):
    """A content received lately: a second delivery of it within the window is a duplicate."""

    __tablename__ = "tds_inbox_fingerprints"
    __table_args__ = (
        Index("ix_tds_inbox_fingerprints_seen_at", "seen_at", postgresql_using="brin"),
        Index("ix_tds_inbox_fingerprints_repeated", "event_id", postgresql_where=text("duplicate_count > 0")),
    )

    fingerprint: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    event_id: Mapped[int] = mapped_column(BigInteger)
    seen_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    duplicate_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))


class RejectedDelivery(Base):
    """A refused delivery with its reason; the table is bounded."""

    __tablename__ = "tds_rejected_deliveries"
    __table_args__ = (
        Index("ix_tds_rejected_deliveries_received_at", "received_at"),
        Index("ix_tds_rejected_deliveries_record", "entity", "source_id", "id",
              postgresql_where=text("source_id is not null")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    received_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    reason: Mapped[str] = mapped_column(Text, comment="the problem's code")
    detail: Mapped[str] = mapped_column(Text)
    status: Mapped[int] = mapped_column(Integer)
    path: Mapped[str] = mapped_column(Text)
    entity: Mapped[str | None] = mapped_column(Text, comment="what it says it is about; nobody proved it")
    source_id: Mapped[str | None] = mapped_column(Text)
    headers: Mapped[dict[str, Any]] = mapped_column(JSONB)
    remote_address: Mapped[str | None] = mapped_column(Text)
    body_start: Mapped[bytes] = mapped_column(LargeBinary, comment="the first bytes of the body")
    body_size: Mapped[int] = mapped_column(Integer)
    correlation_id: Mapped[str] = mapped_column(Text)


class UnstoredWebhooks(Base):
    """The number of webhooks answered with 503 in one minute, by reason; they were not stored."""

    __tablename__ = "tds_unstored_webhooks"

    minute: Mapped[datetime] = mapped_column(Instant, primary_key=True)
    reason: Mapped[str] = mapped_column(Text, primary_key=True)
    webhook_count: Mapped[int] = mapped_column(BigInteger)
    first_at: Mapped[datetime] = mapped_column(Instant)
    last_at: Mapped[datetime] = mapped_column(Instant)
