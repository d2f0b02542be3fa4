"""Random secrets and their digests: what is kept of them opens nothing.

A secret of 256 random bits cannot be guessed, so it needs no slow hash: a fast one keeps each request cheap. The
digest is keyed with what it belongs to, so that one copied into another row, or of another kind, opens nothing. It is
not keyed with TDS_SECRET_KEY: keys must outlive that key's rotation.
"""

import hmac
import secrets
from hashlib import blake2b

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
