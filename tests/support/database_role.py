"""The role tests connect with: TEST_DATABASE_ROLE=tds_app runs them with the rights TDS has in production.

What only the owner of history or a superuser may do, such as forging it, goes through `superuser`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, make_url, text
from sqlalchemy.orm import Session

from tds_core.schema import migrations
from tds_core.schema.database_roles import APP, RoleLogins
from tds_models.db import make_engine, session_scope

PASSWORD = "app-password-1"
#: What a refused change of history says: its trigger, or before that the rights of the application.
REFUSED_CHANGE = "append-only|permission denied for table"
_SERVERS: dict[tuple[str | None, int | None], str] = {}


def is_app() -> bool:
    """Whether tests connect as the application. Raises ValueError for another role."""
    chosen = os.environ.get("TEST_DATABASE_ROLE", "")
    if chosen not in ("", APP):
        raise ValueError(f"TEST_DATABASE_ROLE is {APP} or unset, not {chosen}")
    return bool(chosen)


def with_role(url: str, role: str = APP, password: str = PASSWORD) -> str:
    """The same address for another role; the superuser's is remembered for `superuser`."""
    address = make_url(url)
    _SERVERS[address.host, address.port] = url
    return address.set(username=role, password=password).render_as_string(hide_password=False)


def give_roles(url: str) -> None:
    """Make the roles on the server and give them their rights in a migrated database."""
    migrations.upgrade(url, logins=RoleLogins(app_url=with_role(url), reader_password=PASSWORD))


def superuser_url(url: str) -> str:
    """The superuser's address of the database that `url` names, whichever role it names."""
    address = make_url(url)
    if address.username != APP:
        return url
    known = make_url(_SERVERS[address.host, address.port])
    return known.set(database=address.database).render_as_string(hide_password=False)


@contextmanager
def superuser(engine: Engine) -> Iterator[Session]:
    """One transaction of somebody with all rights over the database of `engine`."""
    if engine.url.username != APP:
        with session_scope(engine) as session:
            yield session
        return
    own = make_engine(superuser_url(engine.url.render_as_string(hide_password=False)), pool_size=1)
    try:
        with session_scope(own) as session:
            yield session
    finally:
        own.dispose()


def retire_at_any_age(engine: Engine) -> None:
    """Let this database's history be retired though it is younger than the 30 days that are the least."""
    with superuser(engine) as session:
        of_function = "select pg_get_functiondef('tds_retire_history(text, bigint)'::regprocedure)"
        whole = session.execute(text(of_function)).scalar_one()
        younger = whole.replace("interval '30 days'", "interval '-1 days'")
        session.connection().exec_driver_sql(younger.replace("%", "%%"))
