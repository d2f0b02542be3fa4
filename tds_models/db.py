"""The way into PostgreSQL: one engine a process, transactions opened and committed at the edge only."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

# A statement that outlives these is a bug or an outage, and either way must not hold locks.
GUARDS = (
    "-c statement_timeout=30s -c lock_timeout={lock_seconds}s -c idle_in_transaction_session_timeout=30s"
    " -c timezone=UTC -c jit=off"
)


_HOSTS = re.compile(
    r"^(?P<before>[a-z0-9+]+://(?:[^@/]*@)?)(?P<hosts>[^@/?]*,[^@/?]*)(?P<path>/[^?]*)?\??(?P<query>.*)$"
)


def make_engine(
    url: str, *, pool_size: int = 2, application: str = "tds", ping: bool = True, lock_seconds: int = 2
) -> Engine:
    """An engine for `url` (`postgresql://` or `postgresql+psycopg2://`) with at most `pool_size` connections.

    Several hosts, as libpq spells them (`postgresql://me@one:5432,two:5432/tds?target_session_attrs=read-write`), are
    tried in their order each time a connection is made.

    With `ping`, connections are tested before use, so a PostgreSQL restart costs one reconnect, not one error; callers
    that try again anyway save the round trip. A lock that others hold is waited for `lock_seconds` at most.
    """
    options = GUARDS.format(lock_seconds=lock_seconds)
    return create_engine(
        _for_sqlalchemy(re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", url)),
        pool_size=pool_size,
        max_overflow=0,
        pool_pre_ping=ping,
        pool_timeout=10,
        hide_parameters=True,  # they are records; an error's text ends up in logs
        connect_args={"connect_timeout": 5, "options": options, "application_name": application},
    )


def _for_sqlalchemy(url: str) -> str:
    """SQLAlchemy takes one host before the path, and several only behind it."""
    found = _HOSTS.match(url)
    if found is None:
        return url
    hosts = "&".join(f"host={host}" for host in found["hosts"].split(","))
    return f"{found['before']}{found['path'] or '/'}?{hosts}" + (f"&{found['query']}" if found["query"] else "")


@contextmanager
def reading_scope(engine: Engine) -> Iterator[Session]:
    """Statements that each stand alone: no transaction is begun or ended for them, which is half of a small one."""
    with Session(engine) as session:
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        yield session


@contextmanager
def session_scope(engine: Engine) -> Iterator[Session]:
    """One transaction: commits when the block ends well, rolls back and re-raises when it does not."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session
