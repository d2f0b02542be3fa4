"""Engines with timeouts, session scopes, and the numbers of TDS's advisory locks."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Any

from sqlalchemy import Connection, Engine, TextClause, create_engine, text
from sqlalchemy.orm import Session

from tds_models.connection_watchdog import GRACE_SECONDS, WatchedConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a process waits for PostgreSQL, in whole seconds; 0: for ever.

    `idle`: how long the server keeps a transaction open, and with it its locks, without a statement; `session`: a
    connection without a transaction.
    """

    connect: int = 5
    statement: int = 10
    lock: int = 2
    idle: int = 10
    session: int = 0

    @property
    def options(self) -> str:
        """The libpq `options` of a connection. A longer wait is a bug or an outage, and must not hold locks."""
        limits = {
            "statement_timeout": self.statement,
            "lock_timeout": self.lock,
            "idle_in_transaction_session_timeout": self.idle,
            "idle_session_timeout": self.session,
            "tcp_keepalives_idle": _KEEPALIVE["keepalives_idle"],
            "tcp_keepalives_interval": _KEEPALIVE["keepalives_interval"],
            "tcp_keepalives_count": _KEEPALIVE["keepalives_count"],
        }
        spelled = "".join(f" -c {name}={limit}{'s' if 'timeout' in name else ''}" for name, limit in limits.items())
        return f"-c timezone=UTC -c jit=off{spelled}"


#: For migrations, which may take any time.
UNLIMITED = Timeouts(statement=0, lock=30, idle=0)
# A lost peer is noticed after about ten seconds by client and server, also on an idle connection.
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
_UNACKNOWLEDGED_MILLISECONDS = 10_000
# Longest wait for the ping of a pooled connection.
PING_SECONDS = 2.0

_HOSTS = re.compile(
    r"^(?P<before>[a-z0-9+]+://(?:[^@/]*@)?)(?P<hosts>[^@/?]*,[^@/?]*)(?P<path>/[^?]*)?\??(?P<query>.*)$"
)


def make_engine(
    url: str,
    *,
    pool_size: int = 2,
    application: str = "tds",
    ping: bool = True,
    timeouts: Timeouts = Timeouts(),
) -> Engine:
    """An engine for `url` (`postgresql://` or `postgresql+psycopg2://`) with at most `pool_size` connections.

    Several hosts, as libpq spells them (`postgresql://me@one:5432,two:5432/tds?target_session_attrs=read-write`), are
    tried in their order each time a connection is made.

    With `ping`, connections are tested before use, so a PostgreSQL restart costs one reconnect, not one error; callers
    that try again anyway save the round trip. Nothing waits for longer than `timeouts`, also not for answers that
    get lost on the way: see `tds_models.connection_watchdog`.
    """
    seconds = timeouts.statement + GRACE_SECONDS if timeouts.statement else None
    engine = create_engine(
        _for_sqlalchemy(re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", url)),
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=ping,
        pool_timeout=10,
        hide_parameters=True,  # they are records; an error's text ends up in logs
        connect_args={
            "connect_timeout": timeouts.connect,
            "options": timeouts.options,
            "application_name": application,
            "connection_factory": lambda dsn, *more: WatchedConnection(dsn, seconds, *more),
            "tcp_user_timeout": _UNACKNOWLEDGED_MILLISECONDS,
            **_KEEPALIVE,
        },
    )
    engine.dialect.do_ping = _with_ping_timeout(engine.dialect.do_ping)  # type: ignore[assignment, method-assign]
    return engine


#: A replica that answers no sooner counts as away.
REPLICA_CONNECT_SECONDS = 2


def make_replica_engine(url: str, *, pool_size: int, statement_seconds: int) -> Engine:
    """An engine for reads on a replica at `url`, which gives up connecting soon, since the primary can serve."""
    timeouts = Timeouts(connect=REPLICA_CONNECT_SECONDS, statement=statement_seconds)
    return make_engine(url, pool_size=pool_size, application="tds-reads", timeouts=timeouts)


def _with_ping_timeout(ping: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def pinged(connection: Any) -> bool:
        default, connection.timeout_seconds = connection.timeout_seconds, PING_SECONDS
        try:
            return ping(connection)
        finally:
            connection.timeout_seconds = default

    return pinged


def set_statement_timeout(session: Session, seconds: int) -> None:
    """Set the timeout of each statement for the rest of this transaction; 0: none."""
    connection = session.connection()
    connection.exec_driver_sql(f"set local statement_timeout = '{seconds}s'")
    raw: Any = connection.connection.dbapi_connection
    raw.timeout_seconds = seconds + GRACE_SECONDS if seconds else None


def _for_sqlalchemy(url: str) -> str:
    """Move several hosts from the authority of an address to its query, where SQLAlchemy expects them."""
    parts = _HOSTS.match(url)
    if parts is None:
        return url
    hosts = "&".join(f"host={host}" for host in parts["hosts"].split(","))
    return f"{parts['before']}{parts['path'] or '/'}?{hosts}" + (f"&{parts['query']}" if parts["query"] else "")


@contextmanager
def autocommit_scope(engine: Engine) -> Iterator[Session]:
    """A session in autocommit mode for single reads, which saves begin and commit: half the time of a small query."""
    with Session(engine) as session:
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        yield session


@contextmanager
def session_scope(engine: Engine) -> Iterator[Session]:
    """One transaction: commits when the block ends, rolls back and re-raises on an exception."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def connection_scope(connection: Connection) -> Iterator[Session]:
    """One transaction on this very connection, whose temporary tables outlive it; ends as `session_scope` does."""
    with Session(connection, expire_on_commit=False) as session, connection.begin():
        yield session
        session.flush()


@unique
class Lock(IntEnum):
    """Numbers of advisory locks. Each is held for a transaction; DISPATCHER, ALERTS, CUTOVER and PARTITIONS longer."""

    MIGRATION = 7_404_202_611
    DISPATCHER = 7_404_202_612
    BULK_CLAIM = 7_404_202_613
    HEALING_CYCLE = 7_404_202_614
    OPERATORS = 7_404_202_615
    AUDIT_HEAD = 7_404_202_616
    RUN_REQUESTS = 7_404_202_617
    STATEMENTS = 7_404_202_618
    ALERTS = 7_404_202_619
    ALERT_INTAKE = 7_404_202_620
    CUTOVER = 7_404_202_621
    PARTITIONS = 7_404_202_622

    def until_commit(self) -> TextClause:
        """The statement that waits for this lock and holds it until the transaction ends."""
        return text(f"select pg_advisory_xact_lock({self.value})")
