"""The database's breaker: it refuses nobody, and reports whether the database can be reached."""

from time import monotonic
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InterfaceError, OperationalError

from tds_core.breakers.breakers import Breakers
from tds_core.breakers.setup import DATABASE

# That all is well is said this often, not after every transaction.
PRAISE_SECONDS = 1.0
# Connection failed, too many connections or out of memory, shut down or starting up; no code at all: never connected.
_AWAY = ("08", "53", "57P")


def report_database(engine: Engine, breakers: Breakers) -> None:
    """Have `engine` tell the breaker of every failure to reach the database, and now and then that it was reached."""
    praised_at = -PRAISE_SECONDS

    @event.listens_for(engine, "handle_error")
    def failed(context: ExceptionContext) -> None:
        if _is_away(context):
            breakers.observe(DATABASE, context.original_exception)

    @event.listens_for(engine, "checkin")
    def reached(connection: Any, _record: Any) -> None:
        nonlocal praised_at
        # Without a connection what comes back is one that broke.
        if connection is not None and monotonic() - praised_at >= PRAISE_SECONDS:
            praised_at = monotonic()
            breakers.observe(DATABASE)


def _is_away(context: ExceptionContext) -> bool:
    """Whether nobody could have been served; a deadlock or a statement that took too long is an answer."""
    if not isinstance(context.sqlalchemy_exception, (OperationalError, InterfaceError)):
        return False
    code = getattr(context.original_exception, "pgcode", None)
    return code is None or code.startswith(_AWAY)
