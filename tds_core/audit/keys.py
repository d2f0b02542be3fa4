"""The keys seals are made with: derived from TDS_SECRET_KEY, and kept, locked, so that old seals outlive it.

The trail's keys as this installation's settings give them.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.config.settings import Settings
from tds_core.crypto import Vault

ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class SealKey:
    """A key, and the name seals know it by."""

    id: bytes
    secret: bytes


def derive(secret_key: str) -> SealKey:
    """The seal key of a TDS_SECRET_KEY; nothing of that key can be told from it."""
    material = base64.urlsafe_b64decode(secret_key)
    return SealKey(_expand(material, b"tds audit seal id", ID_BYTES), _expand(material, b"tds audit seal", 32))


def _expand(material: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt=None, info=purpose).derive(material)


_KEEP = text("insert into tds_audit_seal_keys (key_id, locked) values (:id, :locked) on conflict do nothing")
_KEPT = text("select key_id, locked from tds_audit_seal_keys order by made_at")
_RELOCK = text("update tds_audit_seal_keys set locked = :locked where key_id = :id")


def keep(session: Session, key: SealKey, vault: Vault) -> None:
    """Keep `key`, locked, beside the seals it makes."""
    session.execute(_KEEP, {"id": key.id, "locked": vault.lock(base64.b64encode(key.secret).decode())})


def known_keys(session: Session, vault: Vault, secret_keys: Sequence[str]) -> Mapping[bytes, bytes]:
    """Every key that can be had, by its id: of `secret_keys`, and kept ones. Raises ConfigError when one is shut."""
    kept = {bytes(row.key_id): _opened(vault, row.locked) for row in session.execute(_KEPT)}
    derived = [derive(secret) for secret in secret_keys]
    return {**kept, **{key.id: key.secret for key in derived}}


def reencrypt(session: Session, vault: Vault) -> int:
    """Lock every kept key with the vault's newest key. Returns how many. Raises ConfigError when one is shut."""
    rows = session.execute(_KEPT).all()
    for row in rows:
        session.execute(_RELOCK, {"id": row.key_id, "locked": vault.relock(row.locked)})
    return len(rows)


def _opened(vault: Vault, locked: bytes) -> bytes:
    return base64.b64decode(vault.open(locked) or "")


def seal_key(session: Session, settings: Settings) -> SealKey:
    """The key to make seals with, kept for as long as they are. Raises ConfigError when TDS_SECRET_KEY is not set."""
    key = derive(_secrets(settings)[0])
    keep(session, key, _vault(settings))
    return key


def configured_keys(session: Session, settings: Settings) -> Mapping[bytes, bytes]:
    """The keys of all seals, by their id. Raises ConfigError."""
    return known_keys(session, _vault(settings), _secrets(settings))


def _secrets(settings: Settings) -> list[str]:
    settings.require("TDS_SECRET_KEY")
    previous = settings.secret_key_previous
    return [settings.secret_key, *(each.strip() for each in (previous.split(",") if previous else ()))]


def _vault(settings: Settings) -> Vault:
    return Vault(settings.secret_key, settings.secret_key_previous)
