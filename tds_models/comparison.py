"""Tables of comparisons: what was compared with the source, what differed, what was proven, and the statements."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Integer, LargeBinary, Numeric, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class Agreement(StrEnum):
    """The result of a comparison."""

    EQUAL = "equal"
    DIFFERS = "differs"
    UNPROVEN = "unproven"  # something could not be compared: never to be read as equal


class ComparisonState(StrEnum):
    """State of a comparison, or of its part of one entity."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DifferenceKind(StrEnum):
    """How a record differs."""

    DIFFERENT = "different"  # a field or line has another value
    MISSING_HERE = "missing_here"  # the source has it, the mirror has not
    MISSING_THERE = "missing_there"  # the mirror has it, the source has not


class DifferenceState(StrEnum):
    """How far a difference is decided."""

    SUSPECT = "suspect"  # seen, and not yet confirmed by a reading of the record itself
    CONFIRMED = "confirmed"
    REPAIRED = "repaired"  # confirmed, and equal when it was compared again


class Comparison(Base):
    """One comparison of some or all entities with their source."""

    __tablename__ = "tds_comparisons"
    __table_args__ = (
        # Two requests at once become one.
        Index("uq_tds_comparisons_open", "source", unique=True, postgresql_where=text("state = 'running'")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    requested_by: Mapped[str] = mapped_column(Text)
    requested_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    state: Mapped[str] = mapped_column(Text, server_default=ComparisonState.RUNNING.value)
    agreement: Mapped[str | None] = mapped_column(Text, comment="equal, differs or unproven")
    score: Mapped[Decimal | None] = mapped_column(Numeric(5, 2))
    seed: Mapped[int] = mapped_column(BigInteger, comment="of the random sample")
    sample_size: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="records of each entity read in detail, chosen at random"
    )
    correlation_id: Mapped[str] = mapped_column(Text)


class ComparisonReport(Base):
    """The part of a comparison that is about one entity. `run_id`: the run that reads for it."""

    __tablename__ = "tds_comparison_reports"
    __table_args__ = (
        Index("ix_tds_comparison_reports_entity", "entity", "comparison_id"),
        Index("ix_tds_comparison_reports_run", "run_id"),
    )

    comparison_id: Mapped[int] = mapped_column(ForeignKey("tds_comparisons.id", ondelete="CASCADE"), primary_key=True)
    entity: Mapped[str] = mapped_column(Text, primary_key=True)
    run_id: Mapped[int] = mapped_column(BigInteger)
    follows_run_id: Mapped[int | None] = mapped_column(
        BigInteger, comment="the full pass whose pages are compared; null: the list is read anew"
    )
    state: Mapped[str] = mapped_column(Text, server_default=ComparisonState.RUNNING.value)
    agreement: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text, comment="why nothing is proven")
    here_count: Mapped[int | None] = mapped_column(Integer)
    there_count: Mapped[int | None] = mapped_column(Integer)
    equal_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    different_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    missing_here_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    missing_there_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    suspect_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    detail_count: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="records read in detail")
    match_percent: Mapped[Decimal | None] = mapped_column(Numeric(7, 4))
    score: Mapped[Decimal | None] = mapped_column(Numeric(5, 2))
    grades: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    root_here: Mapped[bytes | None] = mapped_column(LargeBinary)
    root_there: Mapped[bytes | None] = mapped_column(LargeBinary)
    buckets: Mapped[list[Any]] = mapped_column(
        JSONB, server_default=text("'[]'"), comment="of the source's side: count and sum of each bucket"
    )
    api_call_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    began_at: Mapped[datetime | None] = mapped_column(Instant)
    ended_at: Mapped[datetime | None] = mapped_column(Instant)


class ComparisonDifference(Base):
    """A record that differs, or may: suspects are read in detail before they are called different."""

    __tablename__ = "tds_comparison_differences"
    __table_args__ = (
        Index("uq_tds_comparison_differences_record", "comparison_id", "entity", "source_id", unique=True),
        Index(
            "ix_tds_comparison_differences_due",
            "comparison_id",
            "entity",
            "recheck_at",
            postgresql_where=text("state = 'suspect'"),
        ),
        Index(
            "ix_tds_comparison_differences_confirmed",
            "entity",
            "source_id",
            postgresql_where=text("state = 'confirmed'"),
        ),
        # Counts what a repair would read without reading the differences themselves.
        Index(
            "ix_tds_comparison_differences_repairable",
            "comparison_id",
            "entity",
            "source_id",
            postgresql_where=text("state = 'confirmed'"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    comparison_id: Mapped[int] = mapped_column(ForeignKey("tds_comparisons.id", ondelete="CASCADE"))
    entity: Mapped[str] = mapped_column(Text)
    source_id: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default=DifferenceState.SUSPECT.value)
    fields: Mapped[list[Any]] = mapped_column(
        JSONB, server_default=text("'[]'"), comment="field, here and there of each field that differs"
    )
    cause: Mapped[str | None] = mapped_column(Text)
    explanation: Mapped[str | None] = mapped_column(Text)
    since: Mapped[datetime | None] = mapped_column(Instant, comment="when the two sides parted, as far as is known")
    suspected_for: Mapped[str | None] = mapped_column(Text, comment="what made it a suspect")
    found_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    recheck_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    check_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    is_sampled: Mapped[bool] = mapped_column(server_default=text("false"), comment="of the random sample")
    list_modified_at: Mapped[datetime | None] = mapped_column(Instant, comment="the time of change in the list row")
    list_hash: Mapped[bytes | None] = mapped_column(
        LargeBinary, comment="the fingerprint of the list row, where its values were the mirror's"
    )
    hash_here: Mapped[bytes | None] = mapped_column(LargeBinary)
    hash_there: Mapped[bytes | None] = mapped_column(LargeBinary)
    decided_at: Mapped[datetime | None] = mapped_column(Instant)


class RecordProof(Base):
    """The states of both sides that were last proven equal: as long as neither moves, nothing is compared again."""

    __tablename__ = "tds_record_proofs"

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    entity: Mapped[str] = mapped_column(Text, primary_key=True)
    source_id: Mapped[str] = mapped_column(Text, primary_key=True)
    list_hash: Mapped[bytes | None] = mapped_column(LargeBinary, comment="the fingerprint of the list row")
    row_digest: Mapped[bytes] = mapped_column(LargeBinary, comment="the digest of the mirror's row and lines")
    content_hash: Mapped[bytes] = mapped_column(LargeBinary, comment="the hash of what the list shows, in one spelling")
    is_detailed: Mapped[bool] = mapped_column(comment="the whole record was read, not its list row alone")
    proven_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())


class Statement(Base):
    """A statement of agreement: what was equal at a time, chained to the one before. Triggers refuse edits."""

    __tablename__ = "tds_statements"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    comparison_id: Mapped[int] = mapped_column(BigInteger, unique=True)
    body: Mapped[str] = mapped_column(Text, comment="JSON, exactly as it was signed")
    key_id: Mapped[bytes] = mapped_column(LargeBinary)
    previous: Mapped[bytes] = mapped_column(LargeBinary, comment="the digest of the statement before")
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    made_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
