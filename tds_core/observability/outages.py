"""Outages of dependencies: one log line when a dependency is lost and one when it is back."""

import threading
from os import getpid
from time import monotonic
from typing import Any

import structlog
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError

from tds_core.database_errors import is_away, is_read_only

log = structlog.get_logger(__name__)


class Outage:
    """The outage of one dependency. It may be reported many times; its beginning and end are logged once.

    `quiet_seconds`: it ends only after so long without another report.
    """

    def __init__(self, begins: str, ends: str, *, quiet_seconds: float = 0.0) -> None:
        self._begins, self._ends, self._quiet_seconds = begins, ends, quiet_seconds
        self._lock = threading.Lock()
        self._since: float | None = None
        self._noticed_at = 0.0
        #: When the last outage ended, by the monotonic clock.
        self.ended_at = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the outage lasts."""
        return self._since is not None

    def begin(self, **facts: Any) -> None:
        """Report that the dependency is away; `facts` are logged if that is new."""
        with self._lock:
            self._noticed_at = monotonic()
            if self._since is not None:
                return
            self._since = self._noticed_at
        log.warning(self._begins, pid=getpid(), **facts)

    def end(self) -> None:
        """Report that the dependency is available; logged if that is new. Cheap while there is no outage."""
        if self._since is None:
            return
        with self._lock:
            now = monotonic()
            if self._since is None or now - self._noticed_at < self._quiet_seconds:
                return
            away_seconds, self._since, self.ended_at = round(now - self._since, 1), None, now
        log.info(self._ends, pid=getpid(), away_seconds=away_seconds)


#: Whether this process reaches PostgreSQL.
database = Outage("database_lost", "database_back")
#: Whether this process reaches Celery's broker.
broker = Outage("broker_lost", "broker_back")
#: Whether requests wait for a free connection longer than they can.
pool = Outage("database_pool_exhausted", "database_pool_free_again", quiet_seconds=10.0)


def watch_database(engine: Engine) -> None:
    """Report outages of PostgreSQL from `engine`, and drop connections to a server that became read-only."""
    watch = _DatabaseWatch()
    event.listen(engine, "handle_error", watch.failed, retval=True)
    event.listen(engine, "connect", watch.connected)
    event.listen(engine, "checkin", watch.returned)


class _DatabaseWatch:
    """Event listeners of one engine. Errors of connections made before the last outage ended are ignored."""

    def failed(self, context: ExceptionContext) -> BaseException | None:
        """Begin an outage. Returns the error to raise instead of the present one, or None."""
        error = context.sqlalchemy_exception
        if error is None or context.is_pre_ping:
            return None
        if is_read_only(error):
            # After a failover this server takes no writes any more; treat it like one that ended.
            context.is_disconnect = True
            error = OperationalError(context.statement, None, context.original_exception, connection_invalidated=True)
        if is_away(error) and self._made_at(context) >= database.ended_at:
            message = (str(context.original_exception).splitlines() or [""])[0][:200]
            database.begin(error=type(context.original_exception).__name__, says=message)
        return error if error is not context.sqlalchemy_exception else None

    def _made_at(self, context: ExceptionContext) -> float:
        """When the failed connection was made; now, if none could be made."""
        connection = context.connection
        return connection.info.get("made_at", 0.0) if connection is not None else monotonic()

    def connected(self, _connection: Any, record: Any) -> None:
        """A connection was made: the server is available."""
        database.end()
        record.info["made_at"] = monotonic()

    def returned(self, connection: Any, _record: Any) -> None:
        """A connection was returned to the pool."""
        if connection is not None:
            pool.end()
