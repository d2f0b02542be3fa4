"""Errors of the database told apart: it is away, it refuses what a record says, or a statement failed.

Addresses of stores: the driver SQLAlchemy is to use, and what may be shown of them.
"""

import re

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError

from tds_core.errors import InvalidRecordError, TdsError

# Connection failed, too many connections or out of memory, shut down or starting up, a transaction that was ended
# because we fell silent in it, a standby that takes no writes; no code at all: never connected.
_AWAY = ("08", "53", "57P", "25P03", "25006")
_READ_ONLY = "25006"
# Others were in the way: a lock not given in time, a circle of waits, two transactions that cannot both be right. The
# same again, a little later, goes well.
_CONTENDED = ("55P03", "40P01", "40001")
_CANCELED = "57014"
# What is said cannot be stored: of the wrong kind, against a constraint, or too large for an index.
_REFUSED = ("22", "23", "54")


class StatementFailedError(TdsError):
    """The database was there and did not do what it was asked: it took too long, waited in a circle, or was asked
    wrongly. Another time may go better.
    """

    code = "statement_failed"
    retriable = True


def is_away(error: BaseException) -> bool:
    """Whether the database could have served nobody; a deadlock or a statement that took too long is an answer."""
    if not isinstance(error, (OperationalError, InterfaceError)):
        return False
    code = _code(error)
    return code is None or code.startswith(_AWAY)


def is_read_only(error: SQLAlchemyError) -> bool:
    """Whether the server takes no writes: it is a standby, or became one."""
    return isinstance(error, DBAPIError) and _code(error) == _READ_ONLY


def is_contended(error: BaseException) -> bool:
    """Whether others stood in the way, which says nothing about what was asked."""
    return isinstance(error, DBAPIError) and _code(error) in _CONTENDED


def is_out_of_time(error: BaseException) -> bool:
    """Whether the statement took longer than it was allowed to."""
    return isinstance(error, DBAPIError) and _code(error) == _CANCELED


def refuses(error: DBAPIError) -> bool:
    """Whether the database will never take what it was given."""
    return isinstance(error, (DataError, IntegrityError)) or (_code(error) or "").startswith(_REFUSED)


def named(error: DBAPIError) -> TdsError:
    """The error as one of ours. What the database says goes on to quote the row, so only its first line is kept."""
    said = str(error.orig).splitlines()[0][:300] if str(error.orig) else type(error.orig).__name__
    if refuses(error):
        return InvalidRecordError(f"the database refused it: {said}")
    return StatementFailedError(f"a statement failed: {said}")


def _code(error: DBAPIError) -> str | None:
    return getattr(error.orig, "pgcode", None)


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
