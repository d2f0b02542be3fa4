"""Addresses of PostgreSQL: the driver SQLAlchemy is to use, and what may be shown of them."""

import re

_SCHEME = re.compile(r"^postgres(?:ql)?(?:\+psycopg2)?://")


# No scheme is longer than this. Without a bound, a long word without :// is read to its end from each of its letters.
_CREDENTIALS = re.compile(r"(?P<before>[a-z][a-z0-9+.-]{0,39}://[^/\s:@]*):[^/\s@]*@", re.IGNORECASE)


def with_driver(url: str) -> str:
    """Return a PostgreSQL address with the driver psycopg2 named, for SQLAlchemy."""
    return _SCHEME.sub("postgresql+psycopg2://", url)


def without_driver(url: str) -> str:
    """Return a PostgreSQL address without a driver, for libpq, psql and pg_dump."""
    return _SCHEME.sub("postgresql://", url)


def without_password(text: str) -> str:
    """Return the text with the password in each address replaced by ***."""
    return _CREDENTIALS.sub(r"\g<before>:***@", text)


def password_of(url: str) -> str:
    """Return the password in an address, as it is spelled there; empty when there is none."""
    match = re.match(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:([^/\s@]*)@", url, re.IGNORECASE)
    return match[1] if match else ""
