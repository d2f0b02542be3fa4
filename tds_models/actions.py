"""What people and programs asked TDS to do, kept for ever; and answers kept a day, for requests that are sent twice."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Identity, Index, Integer, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class Outcome(StrEnum):
    """What became of an action."""

    BEGUN = "begun"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class OperatorAction(Base):
    """One action, or its beginning. The database refuses to edit a row.

    An action over HTTP is written down before it is done (`begun`) and its end is a row of its own that names the
    beginning; a beginning without an end is still being done, or died. Commands write both in one row, in the
    transaction of what they do. Reads are not written down.
    """

    __tablename__ = "tds_operator_actions"
    __table_args__ = (
        Index("uq_tds_operator_actions_begun_id", "begun_id", unique=True,
              postgresql_where=text("begun_id is not null")),
        Index("ix_tds_operator_actions_caller", "caller", "id"),
        Index("ix_tds_operator_actions_operation", "operation", "id"),
        Index("ix_tds_operator_actions_recorded", "recorded_at", "id"),
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


class KeptAnswer(Base):
    """What a request with an Idempotency-Key was answered; without `status` it is still being answered."""

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
