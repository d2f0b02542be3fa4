"""The server a backup is taken of: its version, its history, and how programs connect to it."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 (a class with the name of a function)
from sqlalchemy.engine import URL, make_url

from tds_core.database_urls import with_driver, without_driver, without_password
from tds_core.errors import TdsError

#: The replication slot that keeps the write-ahead log until it is archived.
SLOT = "tds_backup"
_FIRST_WITH_INCREMENTS = 170_000

_LOOK = """
select current_setting('server_version_num')::int, (select system_identifier from pg_control_system()),
       left(pg_walfile_name(pg_current_wal_lsn()), 8), coalesce(current_setting('summarize_wal', true), 'off') = 'on',
       (select rolsuper or rolreplication from pg_roles where rolname = current_user),
       (select sum(pg_database_size(oid)) from pg_database where datallowconn)::bigint
"""


class NotBackedUpError(TdsError):
    """This server cannot be backed up as it is."""

    code = "not_backed_up"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `history`: names its write-ahead log, another one after each restore."""

    url: URL
    version: int
    history: str
    summarizes: bool
    byte_count: int

    @property
    def major(self) -> int:
        """Its major version."""
        return self.version // 10_000

    @property
    def takes_increments(self) -> bool:
        """Whether it can tell what changed since an earlier backup."""
        return self.version >= _FIRST_WITH_INCREMENTS and self.summarizes

    @property
    def address(self) -> str:
        """Its address for libpq, without the password, which is in `environ`: `ps` shows arguments."""
        shown = self.url.set(password=None).update_query_dict({"application_name": "tds-backup"})
        return without_driver(shown.render_as_string(hide_password=False))

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment in which programs connect to it."""
        return {"PGPASSWORD": str(self.url.password)} if self.url.password else {}


def look(url: str) -> Server:
    """The server at an address. Raises NotBackedUpError when it does not answer or its role may not copy it."""
    parsed = make_url(with_driver(url))
    with connected(url) as connection:
        [version, system_id, timeline, summarizes, may_copy, size] = ask(connection, _LOOK)
    if not may_copy:
        raise NotBackedUpError(
            f"The role {parsed.username} may not copy its server. Give it the right, as a superuser: "
            f"ALTER ROLE {parsed.username} REPLICATION; or set TDS_BACKUP_URL to a role that has it."
        )
    return Server(parsed, version, f"{system_id}-{int(timeline, 16)}", summarizes, size)


def end_of(server: Server, start: str) -> tuple[datetime, str]:
    """The server's clock, and the name of the segment that holds position `start` of its log."""
    with connected(server.url.render_as_string(hide_password=False)) as connection:
        row = ask(connection, "select clock_timestamp(), pg_walfile_name(%s::pg_lsn)", (start,))
    return row[0], row[1]


@contextlib.contextmanager
def connected(url: str) -> Any:
    """A connection that commits each statement. Raises NotBackedUpError when the server does not answer."""
    try:
        connection = psycopg2.connect(without_driver(url), connect_timeout=10)
    except psycopg2.OperationalError as error:
        why = (str(error).strip().splitlines() or ["no answer"])[0]
        raise NotBackedUpError(f"{without_password(url)}: {why}") from None
    with contextlib.closing(connection):
        connection.autocommit = True
        yield connection


def ask(connection: Connection, statement: str, values: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    """The one row of a statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
        assert row is not None  # noqa: S101  (each of these statements has one)
        return tuple(row)
