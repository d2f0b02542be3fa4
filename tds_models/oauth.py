"""Tables of access to a source: tokens, consents, the mirrored organisation, and missing permissions."""

from datetime import datetime

from sqlalchemy import ARRAY, Integer, LargeBinary, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from tds_models.base import Base, Instant


class SourceToken(Base):
    """The tokens of one source, encrypted with TDS_SECRET_KEY. `refreshing_until`: lease of the refreshing process."""

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
    block_reason: Mapped[str | None] = mapped_column(Text, comment="what it said last, if that was no token")
    failed_count: Mapped[int] = mapped_column(
        Integer, server_default=text("0"), comment="answers in a row that were neither a token nor a lasting refusal"
    )
    scopes: Mapped[list[str] | None] = mapped_column(
        ARRAY(Text), comment="what the connection was granted; null: no token answer said so"
    )
    renewals_since: Mapped[datetime | None] = mapped_column(
        Instant, comment="since then tokens that should have lived were renewed"
    )
    renewal_count: Mapped[int] = mapped_column(Integer, server_default=text("0"), comment="how many, since then")
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


class MirroredOrganization(Base):
    """The mirrored organisation, stored at the source's first response."""

    __tablename__ = "tds_mirrored_organizations"

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    organization_id: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime] = mapped_column(Instant, server_default=func.now())


class MissingPermission(Base):
    """A module of a source, or one record of it, that may not be read; it is retried by itself."""

    __tablename__ = "tds_missing_permissions"

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    api: Mapped[str] = mapped_column(Text, primary_key=True)
    path: Mapped[str] = mapped_column(Text, primary_key=True)
    source_id: Mapped[str] = mapped_column(Text, primary_key=True, comment="the record; empty: the whole module")
    scope: Mapped[str] = mapped_column(Text, comment="what the source calls the right to read the module")
    says: Mapped[str] = mapped_column(Text, comment="how the source refused it")
    refused_at: Mapped[datetime] = mapped_column(Instant, server_default=func.now(), comment="when it did so first")
    refusal_count: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    paused_until: Mapped[datetime] = mapped_column(Instant, comment="nobody asks for it until then")
    refused_token: Mapped[bytes | None] = mapped_column(
        LargeBinary, comment="a digest of the access token that was good, and refused for this; null: in doubt"
    )


class OAuthConsent(Base):
    """A consent page that was opened, by the digest of its state. Redeeming deletes the row, so it works once."""

    __tablename__ = "tds_consents"

    state_digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    accounts_url: Mapped[str] = mapped_column(Text)
    redirect_uri: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(Instant)
