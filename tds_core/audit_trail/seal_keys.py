"""Seal keys: derived from TDS_SECRET_KEY, and stored encrypted, so that old seals can be verified after it changes."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.config.settings import Settings
from tds_core.crypto import Vault
from tds_core.errors import ConfigError

ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class SealKey:
    """A key, and the id seals name it by."""

    id: bytes
    secret: bytes


def derive(secret_key: str) -> SealKey:
    """The seal key of a TDS_SECRET_KEY; it reveals nothing of that key (HKDF)."""
    material = base64.urlsafe_b64decode(secret_key)
    return SealKey(_expand(material, b"tds audit seal id", ID_BYTES), _expand(material, b"tds audit seal", 32))


def _expand(material: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt=None, info=purpose).derive(material)


_STORE = text("insert into tds_audit_seal_keys (key_id, locked) values (:id, :locked) on conflict do nothing")
_STORED = text("""
select key_id, locked, made_at < (select max(sealed_at) from tds_audit_seals where kind = 'restarted') as is_given_up
from tds_audit_seal_keys order by made_at
""")
_REENCRYPT = text("update tds_audit_seal_keys set locked = :locked where key_id = :id")


def store(session: Session, key: SealKey, vault: Vault) -> None:
    """Store `key` encrypted, unless it is stored already."""
    session.execute(_STORE, {"id": key.id, "locked": vault.lock(base64.b64encode(key.secret).decode())})


def known_keys(session: Session, vault: Vault, secret_keys: Sequence[str]) -> Mapping[bytes, bytes]:
    """By id, the keys of `secret_keys` and the stored ones. Raises ConfigError when one cannot be decrypted."""
    derived = [derive(secret) for secret in secret_keys]
    return {**_stored(session, vault), **{key.id: key.secret for key in derived}}


def _stored(session: Session, vault: Vault, *, skips_lost: bool = False) -> dict[bytes, bytes]:
    """The stored keys by id. Those stored before the chain was begun anew may be lost; `skips_lost`: any may."""
    found = {}
    for row in session.execute(_STORED):
        try:
            found[bytes(row.key_id)] = _decrypt(vault, row.locked)
        except ConfigError:
            if not (skips_lost or row.is_given_up):
                raise
    return found


def readable_keys(session: Session, settings: Settings) -> Mapping[bytes, bytes]:
    """By id, the keys of seals as far as they can be had: without those no key decrypts. Raises ConfigError."""
    return {**_stored(session, _vault(settings), skips_lost=True), **derived_keys(settings)}


def reencrypt(session: Session, vault: Vault) -> int:
    """Encrypt every stored key with the vault's newest key. Returns how many. Raises ConfigError as `known_keys`."""
    keys = _stored(session, vault)
    for key_id, secret in keys.items():
        session.execute(_REENCRYPT, {"id": key_id, "locked": vault.lock(base64.b64encode(secret).decode())})
    return len(keys)


def _decrypt(vault: Vault, locked: bytes) -> bytes:
    return base64.b64decode(vault.open(locked) or "")


def seal_key(session: Session, settings: Settings) -> SealKey:
    """The key for new seals, stored by this call. Raises ConfigError when TDS_SECRET_KEY is not set."""
    key = derive(_secrets(settings)[0])
    store(session, key, _vault(settings))
    return key


def configured_keys(session: Session, settings: Settings) -> Mapping[bytes, bytes]:
    """By id, the keys of all seals. Raises ConfigError as `known_keys`."""
    return known_keys(session, _vault(settings), _secrets(settings))


def derived_keys(settings: Settings) -> Mapping[bytes, bytes]:
    """By id, the keys of TDS_SECRET_KEY and TDS_SECRET_KEY_PREVIOUS alone. Raises ConfigError without one."""
    _vault(settings)  # refuses what is no key
    return {key.id: key.secret for key in map(derive, _secrets(settings))}


def _secrets(settings: Settings) -> list[str]:
    settings.require("TDS_SECRET_KEY")
    previous = settings.secret_key_previous
    return [settings.secret_key, *(key.strip() for key in (previous.split(",") if previous else ()))]


def _vault(settings: Settings) -> Vault:
    return Vault(settings.secret_key, settings.secret_key_previous)
