"""Encryption of stored secrets with TDS_SECRET_KEY; previous keys still decrypt."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from tds_core.errors import ConfigError


class Vault:
    """Encrypts and decrypts secrets with Fernet keys. `previous`: comma-separated keys that only decrypt, for rotation.

    Raises `ConfigError` for a missing or malformed key.
    """

    def __init__(self, secret_key: str, previous: str = "") -> None:
        keys = [secret_key, *(previous.split(",") if previous else ())]
        try:
            self._fernet = MultiFernet([Fernet(key.strip()) for key in keys])
        except ValueError:
            raise ConfigError(
                "TDS_SECRET_KEY is not set or not a Fernet key. Make one with: python -c"
                ' "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
            ) from None

    def lock(self, secret: str) -> bytes:
        """Encrypt `secret` with the newest key."""
        return self._fernet.encrypt(secret.encode())

    def open(self, locked: bytes | None) -> str | None:
        """Decrypt `locked`; None stays None. Raises `ConfigError` when no key fits."""
        if locked is None:
            return None
        try:
            return self._fernet.decrypt(bytes(locked)).decode()
        except InvalidToken:
            raise ConfigError(
                "A stored token cannot be opened with TDS_SECRET_KEY. Give the key it was locked with as"
                " TDS_SECRET_KEY_PREVIOUS, or connect again with: tds zoho connect"
            ) from None

    def relock(self, locked: bytes | None) -> bytes | None:
        """Encrypt the same secret with the newest key; None stays None. Raises `ConfigError` when no key fits."""
        secret = self.open(locked)
        return None if secret is None else self.lock(secret)
