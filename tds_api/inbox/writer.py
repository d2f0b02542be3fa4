"""The recorder: the intake's own connection, kept open, on which one statement makes a burst durable."""

from collections.abc import Sequence

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from tds_core.inbox.receive import Delivery, Receipt, held, receive


class InboxWriter:
    """Used by one thread. Statements commit by themselves: each is a transaction, durable when it returns.

    Every step that gives up the interpreter lets a crowd of requests go first, so a burst has one such step: no ping,
    no BEGIN and no COMMIT of their own.
    """

    def __init__(self, engine: Engine, *, duplicate_window_seconds: float) -> None:
        self._engine = engine
        self._window_seconds = duplicate_window_seconds
        self._connection: Connection | None = None
        self._session: Session | None = None

    def record(self, deliveries: Sequence[Delivery]) -> list[Receipt]:
        """Make `deliveries` durable; raises what the database raises.

        A connection that died since the last burst is replaced once. Had the statement been committed before it died,
        the second one finds its events, and the senders hear of duplicates.
        """
        kept = self._session is not None
        try:
            return self._receive(deliveries)
        except Exception as error:
            if not (kept and getattr(error, "connection_invalidated", False)):
                raise
        return self._receive(deliveries)

    def held(self, deliveries: Sequence[Delivery]) -> set[int]:
        """The places of those whose work item somebody holds; see `inbox.held`."""
        return held(self._open(), deliveries)

    def close(self) -> None:
        """Give the connection back and close it."""
        self._end_session()
        self._engine.dispose()

    def forget_parent(self) -> None:
        """After a fork: the connection is the parent's, so it is not even closed."""
        self._inherited = (self._session, self._connection)
        self._session = self._connection = None
        self._engine.dispose(close=False)

    def _receive(self, deliveries: Sequence[Delivery]) -> list[Receipt]:
        session = self._open()
        try:
            return receive(session, deliveries, duplicate_window_seconds=self._window_seconds)
        except Exception:
            self._end_session()
            raise

    def _open(self) -> Session:
        if self._session is None:
            self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._session = Session(self._connection)
        return self._session

    def _end_session(self) -> None:
        session, connection = self._session, self._connection
        self._session = self._connection = None
        if session is not None and connection is not None:
            session.close()
            connection.close()
