"""The check of TDS_SECRET_KEY: whether it opens what is stored, before a new key takes the place of a lost one."""

import secrets
from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.crypto import Vault
from tds_core.errors import ConfigError

# By what it is, each value that has to open. Seal keys from before the chain was begun anew are given up already, and
# so is a channel that is switched off.
_ENCRYPTED: Mapping[str, str] = {
    "tokens of Zoho": """
        select unnest(array[access_token, refresh_token]) from tds_source_tokens""",
    "secrets of subscriptions": "select unnest(array[secret, previous_secret]) from tds_subscriptions",
    "addresses of alert channels": "select locked from tds_alert_channels where is_enabled",
    "keys of seals": """
        select locked from tds_audit_seal_keys where made_at >= coalesce(
            (select max(sealed_at) from tds_audit_seals where kind = 'restarted'), '-infinity')""",
}
_FORGET_TOKENS = text("update tds_source_tokens set access_token = null, refresh_token = null where source = :source")
_TOKENS = text("select source, access_token, refresh_token from tds_source_tokens")
_CHANNELS = text("select id, name, locked from tds_alert_channels where is_enabled")
_SWITCH_OFF = text("update tds_alert_channels set is_enabled = false where id = :id")
_SUBSCRIPTIONS = text("select id, name, secret, previous_secret from tds_subscriptions")
_PAUSE = text("""
update tds_subscriptions set secret = :secret, previous_secret = null, previous_until = null, state = 'paused',
    state_at = now(), state_reason = 'its secret was lost with TDS_SECRET_KEY' where id = :id
""")


class LostKeyError(ConfigError):
    """TDS_SECRET_KEY is not the key with which what is stored was encrypted."""

    code = "secret_key_lost"


def encrypted_counts(session: Session, vault: Vault | None = None) -> dict[str, int]:
    """By what it is, how many values are stored encrypted; with `vault`, only those it does not open."""
    counts = {name: sum(1 for _ in _locked(session, query, vault)) for name, query in _ENCRYPTED.items()}
    return {name: count for name, count in counts.items() if count}


def check(session: Session, secret_key: str, previous: str, *, source: str) -> None:
    """Raise LostKeyError where values are stored that the key does not open, or that a new key would be made for.

    `source`: where the key came from. Raises ConfigError for what is no key.
    """
    counts = encrypted_counts(session, Vault(secret_key, previous) if secret_key else None)
    if not counts:
        return
    stored = ", ".join(f"{count} {name}" for name, count in counts.items())
    what = (
        f"TDS_SECRET_KEY (from {source}) does not open" if secret_key else "TDS_SECRET_KEY is not set, and locked are"
    )
    raise LostKeyError(
        f"{what} {stored}. Put back the key they were locked with (secrets.json of TDS_HOME, .env, or a backup that "
        "holds secrets), as TDS_SECRET_KEY or TDS_SECRET_KEY_PREVIOUS. If it is lost for good: "
        'tds secret-key give-up --reason "..."; see docs/secret-key.md'
    )


def give_up(session: Session, vault: Vault) -> Sequence[str]:
    """Give up what `vault` does not open: tokens go, channels are switched off, subscriptions paused. Returns what, in
    sentences with the next step.
    """
    done = []
    for row in session.execute(_TOKENS).mappings().all():
        if not _opens(vault, row["access_token"], row["refresh_token"]):
            session.execute(_FORGET_TOKENS, {"source": row["source"]})
            done.append(f"The tokens of {row['source']} are gone. Connect again: tds zoho connect")
    for row in session.execute(_CHANNELS).mappings().all():
        if not _opens(vault, row["locked"]):
            session.execute(_SWITCH_OFF, {"id": row["id"]})
            done.append(
                f"Channel {row['name']} is switched off. Make it anew: tds alerts channels remove {row['name']}"
            )
    for row in session.execute(_SUBSCRIPTIONS).mappings().all():
        if not _opens(vault, row["secret"], row["previous_secret"]):
            session.execute(_PAUSE, {"id": row["id"], "secret": vault.lock(secrets.token_urlsafe(32))})
            done.append(
                f"Subscription {row['name']} is paused. Give its receiver another secret: tds subscriptions rotate "
                f"{row['name']}; then: tds subscriptions resume {row['name']}"
            )
    return done


def _locked(session: Session, query: str, vault: Vault | None) -> Iterator[bytes]:
    for value in session.execute(text(query)).scalars():
        if value is not None and (vault is None or not _opens(vault, value)):
            yield bytes(value)


def _opens(vault: Vault, *values: bytes | None) -> bool:
    try:
        for value in values:
            vault.open(value)
    except ConfigError:
        return False
    return True
