"""Credentials: digests of random secrets (keys, session tokens), and hashes of operators' passwords.

A secret of 256 random bits cannot be guessed, so a fast hash suffices and keeps each request cheap. Its digest is keyed
with what it belongs to, so that one copied into another row, or of another kind, is not valid there. It is not keyed
with TDS_SECRET_KEY, because secrets must survive that key's rotation. Passwords are hashed with argon2id, a few at a
time. Both are compared in constant time.
"""

import hmac
import os
import secrets
import threading
from hashlib import blake2b

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from tds_core.auth.principal import InvalidArgumentError

SECRET_BYTES = 32
SHORTEST, LONGEST = 12, 200
# The OWASP minimum for argon2id: 19 MiB and two passes, about 50 ms. Few at once, so that memory is not exhausted.
PASSES, MEMORY_KIB = 2, 19_456
_turns = threading.BoundedSemaphore(4)


def new_secret() -> str:
    """256 random bits as URL-safe text."""
    return secrets.token_urlsafe(SECRET_BYTES)


def digest(secret: str, *, kind: bytes, of: str = "") -> bytes:
    """The digest to store of a secret that belongs to `of` (at most 64 ASCII characters). `kind`: at most 16 bytes."""
    return blake2b(secret.encode("utf-8", "surrogateescape"), key=of.encode(), person=kind, digest_size=32).digest()


def matches(stored: bytes, secret: str, *, kind: bytes, of: str = "") -> bool:
    """Whether `stored` is the digest of `secret`; takes constant time."""
    return hmac.compare_digest(bytes(stored), digest(secret, kind=kind, of=of))


def new_password() -> str:
    """A random password of 96 bits that can be typed."""
    return "-".join(secrets.token_hex(3) for _ in range(4))


def hash_password(password: str) -> str:
    """The argon2id hash in the PHC format. Raises InvalidArgumentError for a password that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidArgumentError(f"A password has {SHORTEST} to {LONGEST} characters.")
    with _turns:
        kdf = Argon2id(salt=os.urandom(16), length=32, iterations=PASSES, lanes=1, memory_cost=MEMORY_KIB)
        return kdf.derive_phc_encoded(_encode(password))


def verify_password(password: str, stored: str | None) -> bool:
    """Whether `password` has the hash `stored`; takes as long when there is none."""
    with _turns:
        try:
            Argon2id.verify_phc_encoded(_encode(password[:LONGEST]), stored or _UNKNOWN_HASH)
        except InvalidKey:
            return False
    return stored is not None


def _encode(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


_UNKNOWN_HASH = hash_password(new_password())
