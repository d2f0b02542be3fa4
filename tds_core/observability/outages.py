"""Outages of what a process needs, told once: one line in its log when something is lost, one when it is back."""

import threading
from os import getpid
from time import monotonic
from typing import Any

import structlog
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError

from tds_core.database import is_away, is_read_only

log = structlog.get_logger(__name__)


class Spell:
    """A stretch in which something is away. Whoever notices says so, and only the first is heard; the same at the end.

    `quiet_seconds`: for how long nobody must have noticed before it counts as over.
    """

    def __init__(self, begins: str, ends: str, *, quiet_seconds: float = 0.0) -> None:
        self._begins, self._ends, self._quiet_seconds = begins, ends, quiet_seconds
        self._lock = threading.Lock()
        self._since: float | None = None
        self._noticed_at = 0.0
        #: When the last one ended, by the monotonic clock.
        self.ended_at = 0.0

    @property
    def is_on(self) -> bool:
        """Whether it has begun and is not over."""
        return self._since is not None

    def begin(self, **said: Any) -> None:
        """It is away: `said` is logged if this is news."""
        with self._lock:
            self._noticed_at = monotonic()
            if self._since is not None:
                return
            self._since = self._noticed_at
        log.warning(self._begins, pid=getpid(), **said)

    def end(self) -> None:
        """It is there; logged if that is news. Costs nothing while all is well."""
        if self._since is None:
            return
        with self._lock:
            now = monotonic()
            if self._since is None or now - self._noticed_at < self._quiet_seconds:
                return
            away_seconds, self._since, self.ended_at = round(now - self._since, 1), None, now
        log.info(self._ends, pid=getpid(), away_seconds=away_seconds)


#: Whether this process reaches PostgreSQL.
database = Spell("database_lost", "database_back")
#: Whether this process reaches Celery's broker.
broker = Spell("broker_lost", "broker_back")
#: Whether requests wait for a free connection longer than they can.
pool = Spell("database_pool_exhausted", "database_pool_free_again", quiet_seconds=10.0)


def watch_database(engine: Engine) -> None:
    """Have `engine` tell when PostgreSQL is lost and when it is back, and leave a server that became read-only."""
    watch = _Watch()
    event.listen(engine, "handle_error", watch.failed, retval=True)
    event.listen(engine, "connect", watch.connected)
    event.listen(engine, "checkin", watch.returned)


class _Watch:
    """What one engine hears. A connection that was cut before the server came back says nothing new when it breaks."""

    def failed(self, context: ExceptionContext) -> BaseException | None:
        """Begin the spell; returns the error that is to be raised, `None` for the one there is."""
        error = context.sqlalchemy_exception
        if error is None or context.is_pre_ping:
            return None
        if is_read_only(error):
            # After a failover this is not where rows are written any more: it is left like a server that ended.
            context.is_disconnect = True
            error = OperationalError(context.statement, None, context.original_exception, connection_invalidated=True)
        if is_away(error) and self._made_at(context) >= database.ended_at:
            said = (str(context.original_exception).splitlines() or [""])[0][:200]
            database.begin(error=type(context.original_exception).__name__, says=said)
        return error if error is not context.sqlalchemy_exception else None

    def _made_at(self, context: ExceptionContext) -> float:
        """When the connection was made that failed; now, when none could be made."""
        connection = context.connection
        return connection.info.get("made_at", 0.0) if connection is not None else monotonic()

    def connected(self, _connection: Any, record: Any) -> None:
        """A connection was made, so the server is there."""
        database.end()
        record.info["made_at"] = monotonic()

    def returned(self, connection: Any, _record: Any) -> None:
        """A connection is free again."""
        if connection is not None:
            pool.end()
