"""Factories of the Zoho client and its parts from the settings."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy.orm import Session

from tds_core.breakers.registry import Breakers
from tds_core.config.settings import Settings
from tds_core.crypto import Vault
from tds_core.sources import mirrored_organization
from tds_core.sources.zoho.client import ZohoClient
from tds_core.sources.zoho.oauth import OAuthClient
from tds_core.sources.zoho.quota.governor import open_governor
from tds_core.sources.zoho.refusal_diagnosis import KnownRefusals
from tds_core.sources.zoho.tokens import TokenStore
from tds_core.worker_slots import WorkerSlots


def open_vault(settings: Settings) -> Vault:
    """The vault of stored tokens. Raises `ConfigError` naming a missing setting."""
    settings.require("TDS_SECRET_KEY")
    return Vault(settings.secret_key, settings.secret_key_previous)


def open_tokens(
    settings: Settings, scope: Callable[[], AbstractContextManager[Session]], breakers: Breakers | None = None
) -> TokenStore:
    """The organisation's tokens. Raises `ConfigError` naming a missing setting."""
    return TokenStore(
        scope,
        open_vault(settings),
        open_oauth(settings),
        refresh_token=settings.zoho_refresh_token,
        api_url=settings.zoho_api_url,
        breakers=breakers,
    )


def open_oauth(settings: Settings) -> OAuthClient:
    """The registered OAuth client. Raises `ConfigError` naming a missing setting."""
    settings.require("ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET")
    return OAuthClient(settings.zoho_accounts_url, settings.zoho_client_id, settings.zoho_client_secret)


def open_zoho(
    settings: Settings, scope: Callable[[], AbstractContextManager[Session]], breakers: Breakers
) -> ZohoClient:
    """The organisation's client.

    Raises `ConfigError` naming a missing setting, and `OtherOrganizationError` when the mirror holds another one.
    """
    settings.require("ZOHO_ORGANIZATION_ID", "TDS_SECRET_KEY")
    with scope() as session:
        mirrored_organization.check(session, ZohoClient.name, settings.zoho_organization_id)

    def remember() -> None:
        with scope() as session:
            mirrored_organization.remember(session, ZohoClient.name, settings.zoho_organization_id)

    return ZohoClient(
        open_tokens(settings, scope, breakers),
        organization_id=settings.zoho_organization_id,
        timeout_seconds=settings.http_timeout_seconds,
        connect_seconds=settings.http_connect_seconds,
        governor=open_governor(settings, WorkerSlots(scope, least=settings.worker_concurrency).peak),
        breakers=breakers,
        permissions=KnownRefusals(scope),
        clock_tolerance_seconds=settings.clock_tolerance_seconds,
        remember=remember,
    )
