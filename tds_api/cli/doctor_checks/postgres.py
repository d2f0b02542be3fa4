"""Checks of PostgreSQL: reachable, new enough, migrated, durable, roomy enough for every process, of the same time."""

import time
from collections.abc import Iterator
from typing import Any

import psycopg2

from tds_api.cli.doctor_checks.result import CheckResult, doubtful, embedded, judged, place, well, wrong
from tds_core.config.settings import Settings
from tds_core.database_urls import without_driver
from tds_core.schema.migrations import newest_revision
from tds_local.embedded import binaries
from tds_models.connection_watchdog import WatchedConnection

SKEW_SECONDS = 5.0
# Of each API process: routes, intake, and waiting to evaluate alerts; of each task's process: work, heartbeat and one
# to spare; a worker's own.
_API, _TASK, _WORKER = 7, 3, 1
# The dispatcher with healing and alerts, a second one that waits, and commands.
_OTHERS = 20

_SETTINGS = """
select name, setting from pg_settings
where name in ('max_connections', 'superuser_reserved_connections', 'fsync', 'synchronous_commit', 'full_page_writes',
               'server_encoding')
"""


def postgres(settings: Settings) -> Iterator[CheckResult]:
    """Whether PostgreSQL is as TDS needs it."""
    if not settings.database_url:
        yield embedded("PostgreSQL", "TDS_DATABASE_URL", binaries.postgres_programs)
        return
    where = place(settings, "TDS_DATABASE_URL")
    try:
        connection = psycopg2.connect(
            without_driver(settings.database_url),
            connect_timeout=settings.database_connect_seconds,
            connection_factory=lambda dsn, *more: WatchedConnection(dsn, settings.database_statement_seconds, *more),
        )
    except psycopg2.Error as error:
        mend = "Start it (tds up runs one), or correct TDS_DATABASE_URL."
        yield wrong("PostgreSQL", f"{where}: {str(error).strip().splitlines()[0]}", mend)
        return
    try:
        connection.autocommit = True
        version = connection.server_version // 10_000
        mend = "Upgrade PostgreSQL to 15 or newer."
        yield judged("PostgreSQL", version >= 15, f"{where}, version {version}", mend)
        yield _schema(connection)
        values = dict(_rows(connection, _SETTINGS))
        yield _durability(values)
        yield connections(settings, int(values["max_connections"]) - int(values["superuser_reserved_connections"]))
        yield _clock(connection)
    finally:
        connection.close()


def _rows(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def _schema(connection: Any) -> CheckResult:
    newest = newest_revision()
    [(table,)] = _rows(connection, "select to_regclass('alembic_version')::text")
    current = _rows(connection, "select version_num from alembic_version")[0][0] if table else None
    says = f"at revision {current}, this version needs {newest}"
    return judged("Schema", current == newest, says, "Run: tds migrate")


def _durability(values: dict[str, str]) -> CheckResult:
    """Commits must survive a power cut, and text must be UTF-8."""
    if values["server_encoding"] != "UTF8":
        return wrong(
            "Durability", f"encoding is {values['server_encoding']}", "createdb --encoding UTF8 tds, then move"
        )
    off = [name for name in ("fsync", "full_page_writes") if values[name] == "off"]
    if off:
        mend = "; ".join(f"ALTER SYSTEM SET {name} = on" for name in off) + "; SELECT pg_reload_conf()"
        return wrong("Durability", f"{' and '.join(off)} off: a power cut may destroy the database", mend)
    if values["synchronous_commit"] == "off":
        mend = "ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf()"
        return wrong("Durability", "synchronous_commit is off: a crash loses webhooks that were answered 202", mend)
    return well("Durability", "what is committed is on disk")


def connections(settings: Settings, allowed: int) -> CheckResult:
    """Whether there are connections for everything the settings start, at its busiest."""
    tasks = settings.workers * settings.worker_concurrency
    needed = settings.api_processes * _API + tasks * _TASK + settings.workers * _WORKER + _OTHERS
    says = (
        f"{needed} of {allowed} needed by {settings.workers} workers of {settings.worker_concurrency}, at their busiest"
    )
    more = f"ALTER SYSTEM SET max_connections = {needed * 5 // 4 + 10}, then restart PostgreSQL; or lower TDS_WORKERS"
    if needed > allowed:
        return wrong("Connections", says, more)
    return doubtful("Connections", says, more) if needed > allowed * 0.8 else well("Connections", says)


def _clock(connection: Any) -> CheckResult:
    before = time.time()
    [(there,)] = _rows(connection, "select extract(epoch from clock_timestamp())::float8")
    after = time.time()
    skew = max(0.0, before - there, there - after)
    if skew > SKEW_SECONDS:
        return doubtful("Clock of PostgreSQL", f"{skew:.0f} s away from this one", "timedatectl set-ntp true, on both")
    return well("Clock of PostgreSQL", "the same as here")
