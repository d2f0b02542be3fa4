"""Encryption at rest: what TDS must not store readable is locked with TDS_SECRET_KEY; the first key locks, all open."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from tds_core.errors import ConfigError


class Vault:
    """Locks and opens secrets. Keys rotate by putting the new one first: `new,old`."""

    def __init__(self, secret_key: str) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key.strip()) for key in secret_key.split(",")])
        except ValueError:
            raise ConfigError(
                "TDS_SECRET_KEY is not set or not a Fernet key. Make one with: python -c"
                ' "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
            ) from None

    def lock(self, secret: str) -> bytes:
        """`secret`, encrypted."""
        return self._fernet.encrypt(secret.encode())

    def open(self, locked: bytes | None) -> str | None:
        """What was locked, or `None` where nothing was. Raises `ConfigError` when no key of TDS_SECRET_KEY fits."""
        if locked is None:
            return None
        try:
            return self._fernet.decrypt(bytes(locked)).decode()
        except InvalidToken:
            raise ConfigError(
                "A stored token cannot be opened with TDS_SECRET_KEY. Put the key it was locked with back"
                " (new,old), or connect again with: tds zoho connect"
            ) from None
