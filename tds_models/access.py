"""What TDS needs to be let in: the tokens of its sources, encrypted, and who is refreshing one right now."""

from datetime import datetime

from sqlalchemy import LargeBinary, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class SourceToken(Base):
    """The tokens for one source, encrypted with TDS_SECRET_KEY. `refreshing_until` keeps refreshes single."""

    __tablename__ = "tds_source_tokens"

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    access_token: Mapped[bytes | None] = mapped_column(LargeBinary)
    refresh_token: Mapped[bytes | None] = mapped_column(
        LargeBinary, comment="when it came by the connect page, not from settings"
    )
    api_url: Mapped[str | None] = mapped_column(Text, comment="the API host the token answer named")
    expires_at: Mapped[datetime | None] = mapped_column(Instant)
    refreshing_until: Mapped[datetime | None] = mapped_column(Instant)
    blocked_until: Mapped[datetime | None] = mapped_column(
        Instant, comment="the token endpoint refused further requests until then"
    )
    paused_until: Mapped[datetime | None] = mapped_column(
        Instant, comment="the source asked to be left alone until then"
    )
    pause_reason: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())
