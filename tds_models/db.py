"""The way into PostgreSQL: one engine a process, transactions opened and committed at the edge only.

The advisory locks of TDS: one number each, so that two who have nothing to do with each other never wait.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Any

from sqlalchemy import Engine, TextClause, create_engine, text
from sqlalchemy.orm import Session

from tds_models.connection_watchdog import GRACE_SECONDS, WatchedConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a process waits for PostgreSQL, in whole seconds; 0 is for ever.

    `lock`: for locks of others. `idle`: how long PostgreSQL keeps a transaction open, and with it all it has locked, in
    which it hears nothing, and `session`: a connection between transactions.
    """

    connect: int = 5
    statement: int = 10
    lock: int = 2
    idle: int = 10
    session: int = 0

    @property
    def options(self) -> str:
        """What a session begins with: what outlives this is a bug or an outage, and must not hold locks."""
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


#: Without work to wait for, and for what takes its time (migrations).
UNLIMITED = Timeouts(statement=0, lock=30, idle=0)
# A peer that is gone is noticed after ten seconds or so, by us and by the server, also where nothing is being sent.
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
_UNACKNOWLEDGED_MILLISECONDS = 10_000
# Whether a connection that was kept still works is known at once, or it does not.
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
    engine.dialect.do_ping = _impatient(engine.dialect.do_ping)  # type: ignore[assignment, method-assign]
    return engine


def _impatient(ping: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def pinged(connection: Any) -> bool:
        usual, connection.patience_seconds = connection.patience_seconds, PING_SECONDS
        try:
            return ping(connection)
        finally:
            connection.patience_seconds = usual

    return pinged


def set_statement_timeout(session: Session, seconds: int) -> None:
    """Let each statement of this transaction take so long; 0: as long as it takes."""
    connection = session.connection()
    connection.exec_driver_sql(f"set local statement_timeout = '{seconds}s'")
    raw: Any = connection.connection.dbapi_connection
    raw.patience_seconds = seconds + GRACE_SECONDS if seconds else None


def _for_sqlalchemy(url: str) -> str:
    """SQLAlchemy takes one host before the path, and several only behind it."""
    found = _HOSTS.match(url)
    if found is None:
        return url
    hosts = "&".join(f"host={host}" for host in found["hosts"].split(","))
    return f"{found['before']}{found['path'] or '/'}?{hosts}" + (f"&{found['query']}" if found["query"] else "")


@contextmanager
def autocommit_scope(engine: Engine) -> Iterator[Session]:
    """Statements that each stand alone: no transaction is begun or ended for them, which is half of a small one."""
    with Session(engine) as session:
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        yield session


@contextmanager
def session_scope(engine: Engine) -> Iterator[Session]:
    """One transaction: commits when the block ends well, rolls back and re-raises when it does not."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@unique
class Lock(IntEnum):
    """Who holds it may do alone what it is named after; DISPATCHER for as long as its connection lasts."""

    MIGRATION = 7_404_202_611
    DISPATCHER = 7_404_202_612
    BULK_CLAIM = 7_404_202_613
    HEALING_CYCLE = 7_404_202_614
    OPERATORS = 7_404_202_615
    AUDIT_HEAD = 7_404_202_616
    RUN_REQUESTS = 7_404_202_617

    def until_commit(self) -> TextClause:
        """The statement that waits for this lock and keeps it until the transaction ends."""
        return text(f"select pg_advisory_xact_lock({self.value})")
