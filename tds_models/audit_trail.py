"""Tables of the audit trail: every change of every record, and the chain of seals that makes tampering detectable."""

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Identity, Index, Integer, LargeBinary, SmallInteger, Text, func, text
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class AuditEntry(Base):
    """One change of one record, written in the transaction of the change.

    `changes` maps each changed field to `[before, after]`; numbers are spelled as text, times as ISO 8601 UTC.
    """

    __tablename__ = "tds_audit_trail"
    __table_args__ = (
        # A version exists once: the same change cannot be recorded, or made, twice.
        Index("uq_tds_audit_trail_version", "entity", "source_id", "source", "version", unique=True),
        Index("ix_tds_audit_trail_recorded_at", "recorded_at", postgresql_using="brin"),  # it only grows
        Index("ix_tds_audit_trail_newest", "entity", "recorded_at", "id"),  # in the order of lists
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    entity: Mapped[str] = mapped_column(Text)
    source_id: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer)
    operation: Mapped[str] = mapped_column(Text, comment="created, updated, deleted or restored")
    changes: Mapped[dict[str, Any]] = mapped_column(JSONB)
    origin: Mapped[str] = mapped_column(Text, comment="webhook, run, healing or operator")
    origin_id: Mapped[int | None] = mapped_column(BigInteger, comment="the event or the run")
    correlation_id: Mapped[str] = mapped_column(Text)
    source_modified_at: Mapped[datetime | None] = mapped_column(Instant)
    recorded_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())


class AuditSeal(Base):
    """A link of the chain of seals. Triggers refuse edits.

    A `rows` seal covers the rows of one append-only table with its `ids`; a `retired` one records that retention
    removed all rows of its table up to `last_id`; with a `restarted` one the chain is begun anew, because a key of the
    seals before was lost: those behind it cover every row again; an `erased` one records that a person's values were
    erased from the rows with its `ids`. `digest` is a keyed digest of the other columns and
    the previous one.
    """

    __tablename__ = "tds_audit_seals"
    __table_args__ = (Index("ix_tds_audit_seals_trail", "trail", "last_id"),)

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Text, comment="rows, retired, restarted or erased")
    trail: Mapped[str] = mapped_column(Text, comment="the table it is about")
    columns: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="what of a row is digested, in this order")
    first_id: Mapped[int] = mapped_column(BigInteger)
    last_id: Mapped[int] = mapped_column(BigInteger)
    row_count: Mapped[int] = mapped_column(Integer)
    ids: Mapped[Any] = mapped_column(INT8MULTIRANGE, comment="the rows; no other id up to last_id will ever have one")
    digests: Mapped[bytes] = mapped_column(
        LargeBinary, comment="16 bytes for each row, in the order of ids; of an erased seal 32: before and after"
    )
    begins_at: Mapped[int | None] = mapped_column(
        BigInteger, comment="of a retired seal: the chain begins with this number from now on"
    )
    key_id: Mapped[bytes] = mapped_column(LargeBinary, comment="which key the digest was made with")
    previous: Mapped[bytes] = mapped_column(LargeBinary, comment="the digest of the seal before")
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    note: Mapped[str | None] = mapped_column(Text, comment="of a restarted or erased seal: who did it, and why")


class AuditHead(Base):
    """The end of the chain, in one row, so that a removal of the newest seals is detected.

    `waits`: by table, the id up to which rows may be sealed once the listed writing transactions have ended.
    """

    __tablename__ = "tds_audit_head"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    waits: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))


class AuditSealKey(Base):
    """A key of seals, encrypted with TDS_SECRET_KEY, so that seals stay verifiable when that key is rotated."""

    __tablename__ = "tds_audit_seal_keys"

    key_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    locked: Mapped[bytes] = mapped_column(LargeBinary)
    made_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
