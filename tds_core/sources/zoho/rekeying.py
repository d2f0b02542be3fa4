"""Locking stored tokens anew, so that a previous key can be forgotten."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.crypto import Vault

_LOCKED = text("select source, access_token, refresh_token from tds_source_tokens order by source for update")
_RELOCK = text("""
update tds_source_tokens set access_token = :access_token, refresh_token = :refresh_token where source = :source
""")


def relock(session: Session, vault: Vault) -> int:
    """Lock every stored token with the vault's newest key. Returns how many; raises `ConfigError` when one is shut."""
    count = 0
    for row in session.execute(_LOCKED).mappings().all():
        names = ("access_token", "refresh_token")
        session.execute(_RELOCK, {"source": row["source"], **{name: vault.relock(row[name]) for name in names}})
        count += sum(row[name] is not None for name in names)
    return count
