"""Passwords of operators: hashed slowly with argon2id, a few at a time, and checked in a time that tells nothing.

Random secrets and their digests: what is kept of them opens nothing.

A secret of 256 random bits cannot be guessed, so it needs no slow hash: a fast one keeps each request cheap. The
digest is keyed with what it belongs to, so that one copied into another row, or of another kind, opens nothing. It is
not keyed with TDS_SECRET_KEY: keys must outlive that key's rotation.
"""

import hmac
import os
import secrets
import threading
from hashlib import blake2b

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from tds_core.auth.principal import UnfitError

SECRET_BYTES = 32


def new_secret() -> str:
    """256 random bits, spelled to be carried in headers and cookies."""
    return secrets.token_urlsafe(SECRET_BYTES)


def digest(secret: str, *, kind: bytes, of: str = "") -> bytes:
    """What is kept of `secret`. `kind` is up to 16 bytes, `of` up to 64 ASCII characters."""
    return blake2b(secret.encode("utf-8", "surrogateescape"), key=of.encode(), person=kind, digest_size=32).digest()


def fits(kept: bytes, secret: str, *, kind: bytes, of: str = "") -> bool:
    """Whether `kept` is of `secret`, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(bytes(kept), digest(secret, kind=kind, of=of))


SHORTEST, LONGEST = 12, 200
# OWASP's least for argon2id: 19 MiB and two passes, about 50 ms. Only so many at once, or guessing would eat memory.
PASSES, MEMORY_KIB = 2, 19_456
_turns = threading.BoundedSemaphore(4)


def new_password() -> str:
    """A password nobody guesses and one can type."""
    return "-".join(secrets.token_hex(3) for _ in range(4))


def hash_password(password: str) -> str:
    """The hash to keep, in PHC's spelling. Raises UnfitError for a password that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise UnfitError(f"A password has {SHORTEST} to {LONGEST} characters.")
    with _turns:
        kdf = Argon2id(salt=os.urandom(16), length=32, iterations=PASSES, lanes=1, memory_cost=MEMORY_KIB)
        return kdf.derive_phc_encoded(_spelled(password))


def is_password(password: str, kept: str | None) -> bool:
    """Whether `password` is what `kept` was made of. Takes as long when nothing is kept."""
    with _turns:
        try:
            Argon2id.verify_phc_encoded(_spelled(password[:LONGEST]), kept or _NOBODYS)
        except InvalidKey:
            return False
    return kept is not None


def _spelled(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


_NOBODYS = hash_password(new_password())
