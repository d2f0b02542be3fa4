"""Signatures as Standard Webhooks defines them, so that receivers verify with the library they already have."""

import base64
import hmac
import secrets
from collections.abc import Mapping, Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """A secret nobody had before, as receivers are given it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(given: Sequence[str], *, message_id: str, at: int, body: bytes) -> Mapping[str, str]:
    """The headers that vouch for a message sent at `at` (seconds since 1970): a signature by each secret."""
    signed = f"{message_id}.{at}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode() for secret in given]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{each}" for each in signatures),
    }


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX))
