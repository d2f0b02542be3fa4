"""The database's breaker: it refuses nobody, and reports whether the database can be reached."""

from time import monotonic
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from tds_core.breakers.breakers import Breakers
from tds_core.breakers.setup import DATABASE
from tds_core.database_errors import is_away

# That all is well is said this often, not after every transaction.
PRAISE_SECONDS = 1.0


def report_database(engine: Engine, breakers: Breakers) -> None:
    """Have `engine` tell the breaker of every failure to reach the database, and now and then that it was reached."""
    praised_at = -PRAISE_SECONDS

    @event.listens_for(engine, "handle_error")
    def failed(context: ExceptionContext) -> None:
        if context.sqlalchemy_exception and is_away(context.sqlalchemy_exception):
            breakers.observe(DATABASE, context.original_exception)

    @event.listens_for(engine, "checkin")
    def reached(connection: Any, _record: Any) -> None:
        nonlocal praised_at
        # Without a connection what comes back is one that broke.
        if connection is not None and monotonic() - praised_at >= PRAISE_SECONDS:
            praised_at = monotonic()
            breakers.observe(DATABASE)
