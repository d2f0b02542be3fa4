"""Errors of PostgreSQL by their cause: it is away, locked, out of time, or refuses a value."""

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError

from tds_core.errors import InvalidRecordError, TdsError

# SQLSTATE: connection failed, too many connections or out of memory, shut down or starting up, transaction ended for
# being idle, read-only standby. No code at all: never connected.
_AWAY = ("08", "53", "57P", "25P03", "25006")
_READ_ONLY = "25006"
# Lock timeout, deadlock, serialization failure: a retry a little later succeeds.
_CONTENDED = ("55P03", "40P01", "40001")
_CANCELED = "57014"
# The value cannot be stored: wrong type, against a constraint, or too large for an index.
_REFUSED = ("22", "23", "54")


class StatementFailedError(TdsError):
    """A statement failed although the database is reachable: timeout, deadlock or a fault. A retry may succeed."""

    code = "statement_failed"
    retriable = True


def is_away(error: BaseException) -> bool:
    """Whether the database as a whole is unavailable; a deadlock or a statement timeout does not count."""
    if not isinstance(error, (OperationalError, InterfaceError)):
        return False
    code = _code(error)
    return code is None or code.startswith(_AWAY)


def is_read_only(error: SQLAlchemyError) -> bool:
    """Whether the server is a read-only standby."""
    return isinstance(error, DBAPIError) and _code(error) == _READ_ONLY


def is_contended(error: BaseException) -> bool:
    """Whether other transactions caused the failure, so that the statement itself is not at fault."""
    return isinstance(error, DBAPIError) and _code(error) in _CONTENDED


def is_out_of_time(error: BaseException) -> bool:
    """Whether the statement exceeded its timeout."""
    return isinstance(error, DBAPIError) and _code(error) == _CANCELED


def refuses(error: DBAPIError) -> bool:
    """Whether the database rejects the values and always will."""
    return isinstance(error, (DataError, IntegrityError)) or (_code(error) or "").startswith(_REFUSED)


def named(error: DBAPIError) -> TdsError:
    """The error as a `TdsError`. Only the first line of the message is kept, since the next ones quote the row."""
    message = str(error.orig).splitlines()[0][:300] if str(error.orig) else type(error.orig).__name__
    if refuses(error):
        return InvalidRecordError(f"the database refused it: {message}")
    return StatementFailedError(f"a statement failed: {message}")


def _code(error: DBAPIError) -> str | None:
    return getattr(error.orig, "pgcode", None)
