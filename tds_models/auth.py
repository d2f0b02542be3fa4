"""Tables of authentication: operators, sessions and API keys; the action log; responses stored for idempotency keys.

Passwords, session tokens and keys are stored as hashes only.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
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


class ActionOutcome(StrEnum):
    """The outcome of an operator's action."""

    BEGUN = "begun"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class OperatorAction(Base):
    """One action of an operator or program, or its beginning. Triggers refuse edits; rows are kept for ever.

    An action over HTTP is written before it is done (`begun`), and its end is a second row with `begun_id`; a beginning
    without an end is in progress, or its process died. Commands write one row, in the transaction of what they do.
    Reads are not logged.
    """

    __tablename__ = "tds_operator_actions"
    __table_args__ = (
        Index("uq_tds_operator_actions_begun_id", "begun_id", unique=True,
              postgresql_where=text("begun_id is not null")),
        Index("ix_tds_operator_actions_caller", "caller", "id"),
        Index("ix_tds_operator_actions_correlation", "correlation_id"),
        Index("ix_tds_operator_actions_operation", "operation", "id"),
        Index("ix_tds_operator_actions_recorded", "recorded_at", "id"),
        Index("ix_tds_operator_actions_entity", "entity", "recorded_at", "id",
              postgresql_where=text("entity is not null")),
        Index("ix_tds_operator_actions_unhappy", "outcome", "recorded_at", "id",
              postgresql_where=text("outcome in ('refused', 'failed')")),
        Index("ix_tds_operator_actions_source_ids", "source_ids", postgresql_using="gin",
              postgresql_where=text("source_ids is not null")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    begun_id: Mapped[int | None] = mapped_column(BigInteger, comment="the row of its beginning, if it has one")
    recorded_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    caller: Mapped[str] = mapped_column(
        Text, comment="an operator's name, key:PREFIX, token, or the account of a shell"
    )
    caller_kind: Mapped[str] = mapped_column(Text, comment="operator, key, token, cli or nobody")
    role: Mapped[str | None] = mapped_column(Text)
    operation: Mapped[str] = mapped_column(Text, comment="runs.approve, cli.runs.approve")
    subject: Mapped[str] = mapped_column(Text, comment="on what: a path, a command's arguments")
    entity: Mapped[str | None] = mapped_column(Text)
    source_ids: Mapped[list[str] | None] = mapped_column(ARRAY(Text), comment="the records it names")
    detail: Mapped[dict[str, Any]] = mapped_column(
        JSONB, server_default=text("'{}'"), comment="what was asked, redacted"
    )
    outcome: Mapped[str] = mapped_column(Text)
    status: Mapped[int | None] = mapped_column(Integer, comment="of the HTTP answer")
    error: Mapped[str | None] = mapped_column(Text, comment="the code of what refused or failed it")
    remote_address: Mapped[str | None] = mapped_column(Text)
    correlation_id: Mapped[str] = mapped_column(Text)


class IdempotencyRecord(Base):
    """The response stored for an Idempotency-Key; `status` is null while the request is in progress."""

    __tablename__ = "tds_kept_answers"
    __table_args__ = (Index("ix_tds_kept_answers_expires_at", "expires_at"),)

    caller: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    request_digest: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int | None] = mapped_column(Integer)
    content_type: Mapped[str | None] = mapped_column(Text)
    body: Mapped[bytes | None] = mapped_column(LargeBinary, comment="none where the answer held a secret")
    began_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(Instant)


class Role(StrEnum):
    """A role of an operator or key; each includes the roles before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """0 for the least privileged role."""
        return list(Role).index(self)

    def covers(self, needed: "Role") -> bool:
        """Whether this role includes `needed`."""
        return self.rank >= needed.rank


_ROLES = "role in ('viewer', 'operator', 'admin')"


class Operator(Base):
    """A person who uses TDS. Never deleted, since the action log names operators; `disabled_at` ends the access."""

    __tablename__ = "tds_operators"
    __table_args__ = (CheckConstraint(_ROLES, name="role"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True, comment="lower case; what they log in with")
    role: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str] = mapped_column(Text, comment="argon2id")
    created_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    created_by: Mapped[str] = mapped_column(Text)
    password_changed_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    last_login_at: Mapped[datetime | None] = mapped_column(Instant)
    disabled_at: Mapped[datetime | None] = mapped_column(Instant)


class OperatorSession(Base):
    """One session of an operator. It ends after a time without use, and at `ends_at` in any case."""

    __tablename__ = "tds_operator_sessions"
    __table_args__ = (Index("ix_tds_operator_sessions_operator_id", "operator_id"),)

    token_digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, comment="of what the browser keeps")
    operator_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("tds_operators.id", ondelete="CASCADE"))
    remote_address: Mapped[str | None] = mapped_column(Text)
    began_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    last_used_at: Mapped[datetime] = mapped_column(
        Instant, server_default=func.now(), comment="written at most once a minute"
    )
    ends_at: Mapped[datetime] = mapped_column(Instant)


class ApiKey(Base):
    """An API key of a program. The key is shown once; only its digest is stored."""

    __tablename__ = "tds_api_keys"
    __table_args__ = (CheckConstraint(_ROLES, name="role"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    prefix: Mapped[str] = mapped_column(Text, unique=True, comment="how people call it; no secret")
    name: Mapped[str] = mapped_column(Text, comment="what it is for")
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    role: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(
        ARRAY(Text),
        server_default=text("'{}'"),
        comment="parts of the API it opens, by how their paths begin; none: all",
    )
    created_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    created_by: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime | None] = mapped_column(Instant)
    last_used_at: Mapped[datetime | None] = mapped_column(Instant, comment="written at most once a minute")
    last_used_from: Mapped[str | None] = mapped_column(Text, comment="the address, then")
    revoked_at: Mapped[datetime | None] = mapped_column(Instant)
    revoked_by: Mapped[str | None] = mapped_column(Text)
