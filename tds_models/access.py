"""What TDS needs to be let in: tokens, encrypted, who is refreshing one, and consents that were asked for."""

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
    accounts_url: Mapped[str | None] = mapped_column(Text, comment="the accounts server that gave the refresh token")
    api_url: Mapped[str | None] = mapped_column(Text, comment="the API host the token answer named")
    organization_id: Mapped[str | None] = mapped_column(Text)
    organization_name: Mapped[str | None] = mapped_column(Text)
    connected_at: Mapped[datetime | None] = mapped_column(Instant)
    expires_at: Mapped[datetime | None] = mapped_column(Instant)
    refreshing_until: Mapped[datetime | None] = mapped_column(Instant)
    blocked_until: Mapped[datetime | None] = mapped_column(
        Instant, comment="the token endpoint is not asked until then"
    )
    refused_at: Mapped[datetime | None] = mapped_column(
        Instant, comment="since then the token endpoint gives no token, until an operator mends the access"
    )
    refusal: Mapped[str | None] = mapped_column(Text)
    refused_credentials: Mapped[bytes | None] = mapped_column(
        LargeBinary, comment="a digest: with other credentials it is worth asking at once"
    )
    paused_until: Mapped[datetime | None] = mapped_column(
        Instant, comment="the source asked to be left alone until then"
    )
    pause_reason: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now())


class Consent(Base):
    """A consent page somebody was sent to. `state_digest` names it; coming back takes the row away, so once only."""

    __tablename__ = "tds_consents"

    state_digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    accounts_url: Mapped[str] = mapped_column(Text)
    redirect_uri: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(Instant)
