"""What never reaches a log line: secrets and personal data, by the name of their key or their look in text."""

import re
from collections.abc import Mapping
from typing import Any

from tds_core.urls import without_password

REDACTED = "[redacted]"
_SENSITIVE = re.compile(
    r"secret|password|passwd|authorization|api_?key|access_?token|refresh_?token|^token$|_token$|cookie|signature"
    r"|e_?mail|phone|mobile|^address$|_address$|payload|^body$",
    re.IGNORECASE,
)
# These end like a secret and are not: ids that fence a lease, an address a packet came from.
_HARMLESS = frozenset({"lease_token", "source_address", "signature_valid", "signature_failures"})
_BEARER = re.compile(r"\b(Bearer|Basic|Zoho-oauthtoken)\s+[\w.~+/=-]+", re.IGNORECASE)
_ZOHO_TOKEN = re.compile(r"\b1000\.[0-9a-f]{16,}\.[0-9a-f]{16,}\b")


def redact(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a log event without secrets and personal data, at any depth."""
    return {key: _redact_value(str(key), value) for key, value in event.items()}


def redact_text(text: str) -> str:
    """Return a text without passwords in addresses, bearer tokens and Zoho tokens."""
    return _ZOHO_TOKEN.sub(REDACTED, _BEARER.sub(rf"\1 {REDACTED}", without_password(text)))


def _redact_value(key: str, value: Any) -> Any:
    if key not in _HARMLESS and _SENSITIVE.search(key) and value not in (None, "", True, False):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_redact_value("", each) for each in value]
    return value
