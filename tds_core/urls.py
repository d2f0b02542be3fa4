"""Addresses of stores: the driver SQLAlchemy is to use, and what may be shown of them."""

import re

_SCHEME = re.compile(r"^postgres(?:ql)?(?:\+psycopg2)?://")
_CREDENTIALS = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*://[^/\s:@]*):[^/\s@]*@", re.IGNORECASE)


def with_driver(url: str) -> str:
    """Return a PostgreSQL address naming psycopg2, which SQLAlchemy would not choose by itself."""
    return _SCHEME.sub("postgresql+psycopg2://", url)


def without_driver(url: str) -> str:
    """Return a PostgreSQL address as libpq, psql and pg_dump read it."""
    return _SCHEME.sub("postgresql://", url)


def without_password(text: str) -> str:
    """Return the text with the password of every address in it replaced by stars."""
    return _CREDENTIALS.sub(r"\g<before>:***@", text)


def password_of(url: str) -> str:
    """Return the password in an address, as it is spelled there; empty when there is none."""
    found = re.match(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:([^/\s@]*)@", url, re.IGNORECASE)
    return found[1] if found else ""
