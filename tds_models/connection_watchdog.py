"""The watchdog of database connections: ends a connection on which PostgreSQL has not responded in time.

The server's own limits (statement_timeout and the like) work only while its responses arrive. If packets are dropped
without a reset and a middlebox acknowledges them, a client waits for ever, and neither TCP keepalive nor
tcp_user_timeout ends the wait. So every call has a client-side deadline a little beyond the server's, and one thread
per process shuts down the socket of a late call. The call then fails as for a server that went away.
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

# Time after the server's own limit for its error to arrive.
GRACE_SECONDS = 2.0
CHECK_SECONDS = 0.5


class WatchedConnection(extensions.connection):
    """A connection whose calls each end within `timeout_seconds`; None: no limit."""

    def __init__(self, dsn: str, timeout_seconds: float | None, *more: Any) -> None:
        self._guard = threading.Lock()
        self._deadline: float | None = None
        self._was_ended = False
        self._default_seconds = self.timeout_seconds = timeout_seconds
        super().__init__(dsn, *more)
        self.cursor_factory = WatchedCursor
        _watchdog.watch(self)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call into PostgreSQL. Raises `OperationalError` without a response in time."""
        if self.timeout_seconds is not None:
            self._deadline = monotonic() + self.timeout_seconds
        try:
            return function(*args)
        except psycopg2.Error as error:
            if self._was_ended:
                raise psycopg2.OperationalError("no answer in time; the connection was given up") from error
            raise
        finally:
            with self._guard:
                self._deadline = None

    def commit(self) -> None:
        """Commit, and restore the default timeout."""
        self.timeout_seconds = self._default_seconds
        self.call(super().commit)

    def rollback(self) -> None:
        """Roll back, and restore the default timeout."""
        self.timeout_seconds = self._default_seconds
        self.call(super().rollback)

    def end_if_late(self, now: float) -> None:
        """Shut down the socket if the running call is past its deadline, so that the call fails."""
        with self._guard:
            if self._deadline is None or now < self._deadline:
                return
            self._deadline, self._was_ended = None, True
            with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(self.fileno())) as same:
                same.shutdown(socket.SHUT_RDWR)


class WatchedCursor(extensions.cursor):
    """A cursor whose statements end within the timeout of its connection."""

    connection: WatchedConnection

    def execute(self, *args: Any) -> None:
        """See psycopg2."""
        self.connection.call(super().execute, *args)

    def executemany(self, *args: Any) -> None:
        """See psycopg2."""
        self.connection.call(super().executemany, *args)

    def copy_expert(self, *args: Any) -> None:
        """See psycopg2."""
        self.connection.call(super().copy_expert, *args)


class Watchdog:
    """Checks the connections of this process twice a second, in a thread that starts with the first connection."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start without thread and connections; also after a fork, since both belong to the parent."""
        self._lock = threading.Lock()
        self._connections: WeakSet[WatchedConnection] = WeakSet()
        self._is_watching = False

    def watch(self, connection: WatchedConnection) -> None:
        """Check `connection` until it is garbage-collected."""
        with self._lock:
            self._connections.add(connection)
            if not self._is_watching:
                threading.Thread(target=self._watch, name="database-watchdog", daemon=True).start()
                self._is_watching = True

    def _watch(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(CHECK_SECONDS)
            with self._lock:
                connections = list(self._connections)
            now = monotonic()
            for each in connections:
                each.end_if_late(now)
            del connections


_watchdog = Watchdog()
os.register_at_fork(after_in_child=_watchdog.reset)
