"""The signature of a webhook: proof that the body and its parameters came from who knows the secret."""

import hmac
from collections.abc import Iterable

HEADER = "X-Zoho-Webhook-Signature"


def string_to_sign(pairs: Iterable[tuple[str, str]], raw_body: bytes = b"") -> bytes:
    """Query and form parameters (decoded) joined as key and value in order of key, then the raw body."""
    return "".join(key + value for key, value in sorted(pairs)).encode() + raw_body


def sign(secret: str, pairs: Iterable[tuple[str, str]], raw_body: bytes = b"") -> str:
    """Lower-case hex HMAC-SHA256 of the string to sign."""
    return hmac.new(secret.encode(), string_to_sign(pairs, raw_body), "sha256").hexdigest()
