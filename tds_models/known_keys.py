"""The table of keys that records of a source are known to have."""

from datetime import datetime

from sqlalchemy import ARRAY, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class KnownKey(Base):
    """One key that records of an entity have had, by the part of the record and by list or detail."""

    __tablename__ = "tds_known_keys"

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    entity: Mapped[str] = mapped_column(Text, primary_key=True)
    part: Mapped[str] = mapped_column(Text, primary_key=True, comment="list or detail, and which lines")
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    kinds: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="the kinds of JSON value samples of it had")
    first_seen_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    last_seen_at: Mapped[datetime] = mapped_column(
        Instant, server_default=func.now(), comment="once for each run and process that read it"
    )
