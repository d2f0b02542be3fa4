"""Puts together what looks after webhooks and rules in Zoho, from the settings."""

from tds_core.config import Settings
from tds_core.errors import ConfigError
from tds_core.sources.zoho.rules.found import Asking, Automation
from tds_core.sources.zoho.rules.mending import Mender
from tds_core.sources.zoho.rules.wanted import CREATED, DELETED, UPDATED, Terms


def check_installable(settings: Settings) -> None:
    """Raise `ConfigError` unless webhooks can be set up as `settings` say; it names what to set, and how to make it."""
    settings.require("TDS_PUBLIC_URL")
    if not settings.zoho_webhook_secret:
        raise ConfigError(
            "ZOHO_WEBHOOK_SECRET is not set. It takes 12 to 50 letters and digits; make one with: openssl rand -hex 24"
            "\nSet it for the API too, or nothing that arrives is believed."
        )


def open_mender(settings: Settings, client: Asking) -> Mender:
    """Looks and mends as `settings` say."""
    types = dict(zip((CREATED, UPDATED, DELETED), settings.zoho_rule_types.split(","), strict=True))
    terms = Terms(settings.zoho_webhook_prefix, settings.public_url, types)
    return Mender(Automation(client), terms, settings.zoho_webhook_secret)
