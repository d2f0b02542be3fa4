"""The table of the configuration: settings changed at run time, one row a version."""

from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class ConfigurationVersion(Base):
    """One version of a setting; the newest of a key is in force, the others are history, which nothing edits."""

    __tablename__ = "tds_configuration"

    key: Mapped[str] = mapped_column(Text, primary_key=True, comment="the variable, TDS_GUARD_PERCENT")
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    value: Mapped[Any | None] = mapped_column(
        JSONB(none_as_null=True), comment="null: the environment's value is in force again"
    )
    changed_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
    changed_by: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
