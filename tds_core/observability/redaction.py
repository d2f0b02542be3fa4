"""Redaction of log lines: secrets and personal data, found by key names, by their form, or as known values."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from tds_core.database_urls import without_password

REDACTED = "[redacted]"
_SENSITIVE = re.compile(
    r"secret|password|passwd|authorization|api[_-]?key|access_?token|refresh_?token|^token$|[_-]token$|cookie|signature"
    r"|csrf|^session(_?id)?$|e[_-]?mail|phone|mobile|^fax$|^address$|_address$|payload|^body$"
    r"|(first|last|full|contact|customer|vendor|company|attention|display|person)_?name$"
    r"|^(bank_?)?account_?(number|no)$|^iban$|^(tax|vat|gst)_?(id|no|number|reg_?no)$|^contact_persons?$",
    re.IGNORECASE,
)
# Named like secrets, but harmless.
_HARMLESS = frozenset({"lease_token", "source_address", "signature_valid", "signature_failures"})
# Written by TDS on every line.
_OURS = frozenset({"timestamp", "level", "logger", "process"})
_BEARER = re.compile(r"\b(Bearer|Basic|Zoho-oauthtoken)\s+[\w.~+/=-]+", re.IGNORECASE)
_ZOHO_TOKEN = re.compile(r"\b1000\.[0-9a-f]{16,}\.[0-9a-f]{16,}\b")
# A secret with its name: in a query, a form, JSON or Python's way of showing a dictionary.
_NAMED = re.compile(
    r"""\b((?:client_secret|(?:access|refresh|auth)_?token|api[_-]?key|password|passwd|pwd|secret)["']?\s*[=:]\s*["']?)"""
    r"""[^\s"'&,;})]+""",
    re.IGNORECASE,
)
# Not the names of workers and programs, worker1@host.example, and no password's host.
_EMAIL = re.compile(r"(?<![\w:/*.+@-])(?!(?:worker|celery|more)[\w-]*@)[\w.+-]{1,64}@(?:[\w-]+\.)+[a-z]{2,}\b", re.I)
_LEAST_SECRET = 8

#: Secrets by value, the longest first.
KnownSecrets = tuple[str, ...]


def known_secrets(secrets: Iterable[str]) -> KnownSecrets:
    """Prepare secrets to be redacted by value. Short ones are left out, since they would hide ordinary words."""
    return tuple(sorted({each for each in secrets if len(each) >= _LEAST_SECRET}, key=len, reverse=True))


def redact(event: Mapping[str, Any], secrets: KnownSecrets = ()) -> dict[str, Any]:
    """Return a copy of a log event without secrets and personal data, at any depth. `secrets`: see `known_secrets`."""
    clean = {}
    for key, value in event.items():
        name = key if isinstance(key, str) else str(key)
        if name in _OURS:
            clean[key] = value
        else:
            clean[_key(name, secrets)] = _redact_value(name, value, secrets)
    return clean


def redact_text(text: str, secrets: KnownSecrets = ()) -> str:
    """Return a text without e-mail addresses, passwords in addresses, and secrets by form, name or value."""
    return _text(text, secrets)


def _text(text: str, secrets: KnownSecrets) -> str:
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, REDACTED)
    if "1000." in text:
        text = _ZOHO_TOKEN.sub(REDACTED, text)
    if "=" in text or ":" in text:
        text = _NAMED.sub(rf"\1{REDACTED}", without_password(text))
    if "@" in text:
        text = _EMAIL.sub(REDACTED, text)
    return _BEARER.sub(rf"\1 {REDACTED}", text) if " " in text else text


@lru_cache(maxsize=4096)
def _key(name: str, secrets: KnownSecrets) -> str:
    return _text(name, secrets)


@lru_cache(maxsize=4096)
def _is_sensitive(key: str) -> bool:
    return key not in _HARMLESS and _SENSITIVE.search(key) is not None


def _redact_value(key: str, value: Any, secrets: KnownSecrets) -> Any:
    if _is_sensitive(key) and value not in (None, "", True, False):
        return REDACTED
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return _text(value, secrets)
    if isinstance(value, int | float) or value is None:
        return value
    if isinstance(value, Mapping):
        return redact(value, secrets)
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_value("", each, secrets) for each in value]
    return value
