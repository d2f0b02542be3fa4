"""The signature of a webhook: proof that the body and its parameters came from who knows the secret."""

import hmac
from collections.abc import Iterable
from operator import itemgetter
from typing import Literal

HEADER = "X-Zoho-Webhook-Signature"


Ties = Literal["value", "sent"]


def string_to_sign(pairs: Iterable[tuple[str, str]], raw_body: bytes = b"", *, ties: Ties = "value") -> bytes:
    """Query and form parameters (decoded) joined as key and value in order of key, then the raw body.

    Nobody knows how Zoho orders a key that comes again: `ties` says by value, or as sent.
    """
    ordered = sorted(pairs) if ties == "value" else sorted(pairs, key=itemgetter(0))
    return "".join(key + value for key, value in ordered).encode() + raw_body


def sign(secret: str, pairs: Iterable[tuple[str, str]], raw_body: bytes = b"", *, ties: Ties = "value") -> str:
    """Lower-case hex HMAC-SHA256 of the string to sign."""
    return hmac.new(secret.encode(), string_to_sign(pairs, raw_body, ties=ties), "sha256").hexdigest()
