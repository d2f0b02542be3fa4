"""Who may use TDS: operators with their sessions, and API keys for programs; none of it opens anything when read."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Identity, Index, LargeBinary, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class Role(StrEnum):
    """What somebody may do; each role may also do what those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """0 for the role that may do least."""
        return list(Role).index(self)

    def covers(self, needed: "Role") -> bool:
        """Whether who has this role may do what needs that one."""
        return self.rank >= needed.rank


_ROLES = "role in ('viewer', 'operator', 'admin')"


class Operator(Base):
    """A person who uses TDS. Never deleted, so that what they did keeps its name; `disabled_at` ends their access."""

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
    """One log-in of an operator. It ends when nobody used it for a while, and at `ends_at` in any case."""

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
    """A program's key. What opens is shown once; only its digest stays."""

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
