"""Secrets of a channel: its address and what signs its webhooks, encrypted together with TDS_SECRET_KEY."""

import secrets
from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tds_core.crypto import Vault
from tds_core.errors import ConfigError
from tds_core.subscriptions.signed_events import new_secret
from tds_models.alerts import AlertChannel


class ChannelSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """What is encrypted of a channel. `key`: what its incidents begin with; it stays when the address changes.

    `signing`: what signs its webhooks; "" for other kinds. `previous_signing`: what signed before, and signs beside it
    until `previous_until`.
    """

    address: str
    key: str
    signing: str = ""
    previous_signing: str = ""
    previous_until: datetime | None = None

    def signing_at(self, at: datetime) -> tuple[str, ...]:
        """What signs at a time, the newest first."""
        is_twofold = self.previous_until is not None and at < self.previous_until
        return (self.signing, self.previous_signing) if is_twofold else (self.signing,)

    def moved(self, address: str) -> "ChannelSecrets":
        """The same with another address."""
        return msgspec.structs.replace(self, address=address)

    def rotated(self, until: datetime) -> "ChannelSecrets":
        """The same with a new signing secret, beside which the present one signs `until` then."""
        return msgspec.structs.replace(self, signing=new_secret(), previous_signing=self.signing, previous_until=until)


def new_secrets(address: str, *, is_signed: bool) -> ChannelSecrets:
    """The secrets of a new channel."""
    return ChannelSecrets(address=address, key=f"tds-{secrets.token_hex(4)}", signing=new_secret() if is_signed else "")


def locked(vault: Vault, channel: ChannelSecrets) -> bytes:
    """Encrypt them."""
    return vault.lock(msgspec.json.encode(channel).decode())


def opened(vault: Vault, stored: bytes) -> ChannelSecrets:
    """Decrypt them. Raises ConfigError when no key fits."""
    try:
        return msgspec.json.decode(vault.open(stored) or "", type=ChannelSecrets)
    except msgspec.MsgspecError:
        raise ConfigError(
            "What is locked of a channel cannot be read. Write its address again: tds alerts channels change"
        ) from None


def reencrypt(session: Session, vault: Vault) -> int:
    """Encrypt every channel's secrets with the vault's newest key. Returns how many. Raises ConfigError."""
    alive = select(AlertChannel).where(AlertChannel.deleted_at.is_(None)).with_for_update(key_share=True)
    rows: Sequence[AlertChannel] = session.execute(alive).scalars().all()
    for row in rows:
        row.locked = vault.relock(row.locked) or b""
    session.flush()
    return len(rows)
