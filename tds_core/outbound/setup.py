"""Outbound events as this installation's settings want them."""

from tds_core.config import Settings
from tds_core.crypto import Vault
from tds_core.outbound.addresses import Targets, targets


def targets_of(settings: Settings) -> Targets:
    """Where events may be sent."""
    return targets(allowed=settings.outbound_allow, ports=settings.outbound_ports, with_http=settings.outbound_http)


def vault_of(settings: Settings) -> Vault:
    """What locks the secrets. Raises ConfigError when TDS_SECRET_KEY is not set."""
    settings.require("TDS_SECRET_KEY")
    return Vault(settings.secret_key, settings.secret_key_previous)
