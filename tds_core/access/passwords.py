"""Passwords of operators: hashed slowly with argon2id, a few at a time, and checked in a time that tells nothing."""

import os
import secrets
import threading

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from tds_core.access.errors import UnfitError

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
