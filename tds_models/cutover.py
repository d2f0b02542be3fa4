"""Tables of the cutover from an old sync: what each day's comparison found, what differs now, and promotions."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Date, Identity, Index, Integer, LargeBinary, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class OldDifferenceKind(StrEnum):
    """How a record differs between the old table and the mirror."""

    DIFFERENT = "different"  # a field has another value
    MISSING_OLD = "missing_old"  # the old table lacks it
    MISSING_HERE = "missing_here"  # the mirror lacks it


class Verdict(StrEnum):
    """Who is right, by a reading of the record at its source."""

    OLD_WRONG = "old_wrong"
    TDS_WRONG = "tds_wrong"
    BOTH_WRONG = "both_wrong"
    CHANGED_MEANWHILE = "changed_meanwhile"  # at the source or in the mirror, while it was compared
    NOT_ASKED = "not_asked"  # not read yet, or it could not be read


class CutoverDay(Base):
    """What one comparison with an old table found: one row an entity each time; a day may have several."""

    __tablename__ = "tds_cutover_days"
    __table_args__ = (Index("ix_tds_cutover_days_entity", "entity", "day"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    day: Mapped[date] = mapped_column(Date, comment="of the installation's time zone")
    entity: Mapped[str] = mapped_column(Text)
    mapping_digest: Mapped[str] = mapped_column(Text, comment="of the mapping file it was compared by")
    requested_by: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    ended_at: Mapped[datetime | None] = mapped_column(Instant, comment="null: it did not end, and proves nothing")
    old_count: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="records in the old table")
    here_count: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="living rows of the mirror")
    equal_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    duplicate_count: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="old rows beyond the first")
    unkeyed_count: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="old rows without an id")
    different_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    missing_old_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    missing_here_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    old_wrong_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    tds_wrong_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    both_wrong_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    changed_meanwhile_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    not_asked_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    field_counts: Mapped[dict[str, int]] = mapped_column(
        JSONB, server_default=text("'{}'"), comment="records that differ in a field, by field"
    )
    call_count: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="calls to the source")


class CutoverDifference(Base):
    """A record that differed in the newest comparison. Names of fields stand here, no values."""

    __tablename__ = "tds_cutover_differences"

    entity: Mapped[str] = mapped_column(Text, primary_key=True)
    source_id: Mapped[str] = mapped_column(Text, primary_key=True)
    day_id: Mapped[int] = mapped_column(BigInteger, comment="the comparison that saw it last")
    kind: Mapped[OldDifferenceKind] = mapped_column(Text)
    fields: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="the fields that differ; none where it is missing")
    digest: Mapped[bytes] = mapped_column(
        LargeBinary, comment="of both sides: a verdict lasts while they stay as they were"
    )
    verdict: Mapped[Verdict] = mapped_column(Text, server_default=Verdict.NOT_ASKED.value)
    judged_at: Mapped[datetime | None] = mapped_column(Instant, comment="when its source was read for it")


class CutoverPromotion(Base):
    """A promotion: the statements that let programs read the mirror under old names, and those that undo them."""

    __tablename__ = "tds_cutover_promotions"
    __table_args__ = (
        Index("uq_tds_cutover_promotions_open", text("(ended_at is null)"), unique=True,
              postgresql_where=text("ended_at is null")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    promoted_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    promoted_by: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text, comment="why it was forced; empty: the days allowed it")
    mapping: Mapped[str] = mapped_column(Text, comment="the mapping file")
    steps: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, comment="subject, do and undo of each, in order")
    ended_at: Mapped[datetime | None] = mapped_column(Instant, comment="when it was taken back")
    ended_by: Mapped[str | None] = mapped_column(Text)
    end_reason: Mapped[str | None] = mapped_column(Text)
