"""The watchdog: ends a connection on which PostgreSQL has not answered in time.

The server's own limits (statement_timeout and its like) hold only while its answers arrive. When packets vanish on the
way, without a reset, and something between goes on to acknowledge them, a client would wait for ever, and neither TCP
keepalive nor tcp_user_timeout ends it. So every call into PostgreSQL has a deadline here as well, a little beyond the
server's, and one thread a process shuts down the socket of whatever is beyond it. The call then fails as for a server
that went away.
"""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any
from weakref import WeakSet

import psycopg2
from psycopg2 import extensions

# How long after its own limit the server's word that it broke off is waited for.
GRACE_SECONDS = 2.0
LOOK_SECONDS = 0.5


class WatchedConnection(extensions.connection):
    """A connection whose calls each end within `patience_seconds` (`None`: whenever they do)."""

    def __init__(self, dsn: str, patience_seconds: float | None, *more: Any) -> None:
        self._guard = threading.Lock()
        self._late_at: float | None = None
        self._was_ended = False
        self._usual_seconds = self.patience_seconds = patience_seconds
        super().__init__(dsn, *more)
        self.cursor_factory = WatchedCursor
        _watchdog.watch(self)

    def call(self, function: Callable[..., Any], *given: Any) -> Any:
        """Call into PostgreSQL; raises OperationalError when there is no answer in time."""
        if self.patience_seconds is not None:
            self._late_at = monotonic() + self.patience_seconds
        try:
            return function(*given)
        except psycopg2.Error as error:
            if self._was_ended:
                raise psycopg2.OperationalError("no answer in time; the connection was given up") from error
            raise
        finally:
            with self._guard:
                self._late_at = None

    def commit(self) -> None:
        """Commit; what comes next has the usual time."""
        self.patience_seconds = self._usual_seconds
        self.call(super().commit)

    def rollback(self) -> None:
        """Roll back; what comes next has the usual time."""
        self.patience_seconds = self._usual_seconds
        self.call(super().rollback)

    def end_if_late(self, now: float) -> None:
        """Shut the socket down if the call under way is beyond its deadline: it fails then, whoever waits in it."""
        with self._guard:
            if self._late_at is None or now < self._late_at:
                return
            self._late_at, self._was_ended = None, True
            with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(self.fileno())) as same:
                same.shutdown(socket.SHUT_RDWR)


class WatchedCursor(extensions.cursor):
    """A cursor whose statements are waited for no longer than its connection has patience."""

    connection: WatchedConnection

    def execute(self, *given: Any) -> None:
        """See psycopg2."""
        self.connection.call(super().execute, *given)

    def executemany(self, *given: Any) -> None:
        """See psycopg2."""
        self.connection.call(super().executemany, *given)

    def copy_expert(self, *given: Any) -> None:
        """See psycopg2."""
        self.connection.call(super().copy_expert, *given)


class Watchdog:
    """Looks at this process's connections, twice a second; the thread begins with the first of them."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """After a fork: the thread is not here, and the connections are the parent's."""
        self._lock = threading.Lock()
        self._connections: WeakSet[WatchedConnection] = WeakSet()
        self._is_watching = False

    def watch(self, connection: WatchedConnection) -> None:
        """Look at `connection` as well, until it is gone."""
        with self._lock:
            self._connections.add(connection)
            if not self._is_watching:
                threading.Thread(target=self._watch, name="database-watchdog", daemon=True).start()
                self._is_watching = True

    def _watch(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(LOOK_SECONDS)
            with self._lock:
                connections = list(self._connections)
            now = monotonic()
            for each in connections:
                each.end_if_late(now)
            del connections


_watchdog = Watchdog()
os.register_at_fork(after_in_child=_watchdog.begin_anew)
