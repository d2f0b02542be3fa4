"""The trail's keys as this installation's settings give them."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from tds_core.config import Settings
from tds_core.crypto import Vault
from tds_core.trail import keys
from tds_core.trail.keys import SealKey


def seal_key(session: Session, settings: Settings) -> SealKey:
    """The key to make seals with, kept for as long as they are. Raises ConfigError when TDS_SECRET_KEY is not set."""
    key = keys.derive(_secrets(settings)[0])
    keys.keep(session, key, _vault(settings))
    return key


def known_keys(session: Session, settings: Settings) -> Mapping[bytes, bytes]:
    """The keys of all seals, by their id. Raises ConfigError."""
    return keys.known_keys(session, _vault(settings), _secrets(settings))


def _secrets(settings: Settings) -> list[str]:
    settings.require("TDS_SECRET_KEY")
    previous = settings.secret_key_previous
    return [settings.secret_key, *(each.strip() for each in (previous.split(",") if previous else ()))]


def _vault(settings: Settings) -> Vault:
    return Vault(settings.secret_key, settings.secret_key_previous)
