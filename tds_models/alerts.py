"""Tables of alerts: rules, alerts with their transitions, silences, channels, deliveries, and measured values."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class AlertSeverity(StrEnum):
    """How bad an alert is; members are in ascending order."""

    WARNING = "warning"  # something will go wrong, or is worth a look today
    ERROR = "error"  # something is wrong, and a person has to decide
    CRITICAL = "critical"  # the mirror falls behind or lies now


class AlertState(StrEnum):
    """State of an alert."""

    OK = "ok"  # its condition was met for a moment only, or never
    PENDING = "pending"  # its condition is met, but not for long enough
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"  # firing, and a person takes care of it, until the acknowledgement expires
    FLAPPING = "flapping"  # it fired and ended several times within an hour
    RESOLVED = "resolved"  # it fired, and its condition is no longer met
    NO_DATA = "no_data"  # its rule cannot be measured


#: The states in which an alert's condition is met.
ACTIVE_STATES = (AlertState.PENDING, AlertState.FIRING, AlertState.ACKNOWLEDGED, AlertState.FLAPPING)


class AlertMessageKind(StrEnum):
    """What a delivery says of its alert."""

    FIRING = "firing"
    REMINDER = "reminder"  # it still fires, and nobody acknowledged it
    RESOLVED = "resolved"
    TEST = "test"  # nothing of an alert: that the channel works


class AlertDeliveryState(StrEnum):
    """State of a delivery."""

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"  # given up
    SUPERSEDED = "superseded"  # no longer true before it was sent: acknowledged, resolved
    SUPPRESSED = "suppressed"  # by a silence, a cause or quiet hours; queued when that ends


class AlertRule(Base):
    """One version of a rule's terms; the newest version of a name is in force.

    Version 1 and those by `tds` are the declared terms of `tds_core.alerts.rules`; others were set by an operator.
    """

    __tablename__ = "tds_alert_rules"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    is_enabled: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    severity: Mapped[str] = mapped_column(Text)
    threshold: Mapped[float] = mapped_column(Float)
    for_seconds: Mapped[int] = mapped_column(Integer, comment="so long the condition is met before it fires")
    keep_seconds: Mapped[int] = mapped_column(Integer, comment="so long it is not met before it is resolved")
    changed_by: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    reason: Mapped[str | None] = mapped_column(Text)


class Alert(Base):
    """The alert of one rule about one subject. It is kept, and fires again as the next episode.

    Every change states the `version` it was decided from, so of two changes at once one is made.
    """

    __tablename__ = "tds_alerts"
    __table_args__ = (
        Index("uq_tds_alerts_subject", "rule", "subject", unique=True),
        Index(
            "ix_tds_alerts_active",
            "rule",
            postgresql_where=text("state in ('pending', 'firing', 'acknowledged', 'flapping', 'no_data')"),
        ),
        Index("ix_tds_alerts_changed", "changed_at", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    rule: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text, comment="an entity, a breaker, a worker; empty for the whole")
    state: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    severity: Mapped[str] = mapped_column(Text)
    episode: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="how often it has fired")
    value: Mapped[float | None] = mapped_column(Float)
    summary: Mapped[str] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    since_at: Mapped[datetime | None] = mapped_column(Instant, comment="since when its condition is met")
    seen_at: Mapped[datetime | None] = mapped_column(Instant, comment="when its condition was last met")
    fired_at: Mapped[datetime | None] = mapped_column(Instant, comment="when this episode began")
    resolved_at: Mapped[datetime | None] = mapped_column(Instant)
    changed_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    recent_firings: Mapped[list[datetime]] = mapped_column(
        ARRAY(Instant), server_default=text("'{}'"), comment="of the last hour; many of them are flapping"
    )
    acknowledged_by: Mapped[str | None] = mapped_column(Text)
    acknowledged_at: Mapped[datetime | None] = mapped_column(Instant)
    acknowledged_until: Mapped[datetime | None] = mapped_column(Instant)
    note: Mapped[str | None] = mapped_column(Text)
    muted_by: Mapped[str | None] = mapped_column(Text, comment="the rule of the alert that causes this one")


class AlertTransition(Base):
    """A change of an alert's state; append-only, and sealed with the history."""

    __tablename__ = "tds_alert_transitions"
    __table_args__ = (
        Index("ix_tds_alert_transitions_alert", "alert_id", "id"),
        Index("ix_tds_alert_transitions_at", "at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    alert_id: Mapped[int] = mapped_column(BigInteger)
    rule: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    episode: Mapped[int] = mapped_column(Integer)
    from_state: Mapped[str] = mapped_column(Text)
    to_state: Mapped[str] = mapped_column(Text)
    severity: Mapped[str] = mapped_column(Text)
    value: Mapped[float | None] = mapped_column(Float)
    changed_by: Mapped[str] = mapped_column(Text, comment="tds, or who did it")
    reason: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Instant)


class AlertSilence(Base):
    """A time in which alerts that match send no messages.

    With `cron` it is a maintenance window: it recurs, `duration_seconds` each time, between `starts_at` and `ends_at`.
    """

    __tablename__ = "tds_alert_silences"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    rules: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="patterns with *; empty: every rule")
    subjects: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="patterns with *; empty: every subject")
    severities: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="empty: every severity")
    reason: Mapped[str] = mapped_column(Text)
    starts_at: Mapped[datetime] = mapped_column(Instant)
    ends_at: Mapped[datetime] = mapped_column(Instant)
    ends_with_alerts: Mapped[bool] = mapped_column(
        Boolean, server_default=text("false"), comment="ends as soon as no alert that matched is active"
    )
    cron: Mapped[str | None] = mapped_column(Text, comment="five fields and perhaps a time zone: when it recurs")
    duration_seconds: Mapped[int | None] = mapped_column(Integer)
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    ended_at: Mapped[datetime | None] = mapped_column(Instant, comment="ended before its time")
    ended_by: Mapped[str | None] = mapped_column(Text)


class AlertChannel(Base):
    """A destination of messages. `locked`: its address with its secrets, encrypted with TDS_SECRET_KEY."""

    __tablename__ = "tds_alert_channels"
    __table_args__ = (
        Index("uq_tds_alert_channels_name", "name", unique=True, postgresql_where=text("deleted_at is null")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text, comment="email, slack, telegram, pagerduty, teams, ntfy or webhook")
    locked: Mapped[bytes] = mapped_column(LargeBinary)
    masked: Mapped[str] = mapped_column(Text, comment="the address without its secrets, for people")
    is_enabled: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    minimum_severity: Mapped[str] = mapped_column(Text, server_default=text("'warning'"))
    after_seconds: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="told after nobody acknowledged for so long: a step of escalation"
    )
    reminder_seconds: Mapped[int] = mapped_column(Integer, server_default=text("14400"), comment="0: no reminders")
    quiet_hours: Mapped[str | None] = mapped_column(Text, comment="22:00-07:00")
    time_zone: Mapped[str] = mapped_column(Text, server_default=text("'UTC'"), comment="of the quiet hours")
    with_detail: Mapped[bool] = mapped_column(
        Boolean, server_default=text("false"), comment="messages may hold error texts, not only ids and counts"
    )
    failure_count: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="in a row")
    failing_since: Mapped[datetime | None] = mapped_column(Instant)
    last_error: Mapped[str | None] = mapped_column(Text)
    sent_at: Mapped[datetime | None] = mapped_column(Instant, comment="when it last took a message")
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    deleted_at: Mapped[datetime | None] = mapped_column(Instant, comment="kept for the deliveries it got")


class AlertDelivery(Base):
    """One message about one alert to one channel, with every attempt.

    Deliveries that share a `message_id` go out as one message. `number`: 0, and 1, 2, ... of reminders.
    """

    __tablename__ = "tds_alert_deliveries"
    __table_args__ = (
        Index("uq_tds_alert_deliveries", "alert_id", "episode", "channel_id", "kind", "number", unique=True),
        Index("ix_tds_alert_deliveries_due", "next_attempt_at", postgresql_where=text("state = 'queued'")),
        Index("ix_tds_alert_deliveries_channel", "channel_id", "id"),
        Index("ix_tds_alert_deliveries_created", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    alert_id: Mapped[int | None] = mapped_column(
        ForeignKey("tds_alerts.id", ondelete="CASCADE"), comment="none: a test of the channel"
    )
    episode: Mapped[int] = mapped_column(Integer)
    channel_id: Mapped[int] = mapped_column(ForeignKey("tds_alert_channels.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(Text)
    number: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    state: Mapped[str] = mapped_column(Text, server_default=AlertDeliveryState.QUEUED.value)
    reason: Mapped[str | None] = mapped_column(Text, comment="why it is suppressed, superseded, or sent now")
    message_id: Mapped[UUID | None] = mapped_column(comment="the same at every attempt")
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    tries: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'"))
    next_attempt_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    lease_token: Mapped[UUID | None]
    leased_until: Mapped[datetime | None] = mapped_column(Instant)
    created_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    sent_at: Mapped[datetime | None] = mapped_column(Instant)


class MetricSample(Base):
    """A measured value of a rule, written when it changed; it holds until the next one of its series.

    Partitioned by week; see `tds_models.partitions`.
    """

    __tablename__ = "tds_metrics"
    __table_args__ = (Index("ix_tds_metrics_at", "at"), {"postgresql_partition_by": "RANGE (at)"})

    name: Mapped[str] = mapped_column(Text, primary_key=True, comment="the rule")
    subject: Mapped[str] = mapped_column(Text, primary_key=True)
    at: Mapped[datetime] = mapped_column(Instant, primary_key=True)
    value: Mapped[float | None] = mapped_column(Float, comment="null: the subject is gone, or was not measured")
