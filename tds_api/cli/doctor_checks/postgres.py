"""Checks of PostgreSQL: reachable, new enough, migrated, durable, roomy enough for every process, of the same time."""

import time
from collections.abc import Iterator
from typing import Any

import psycopg2

from tds_api.cli.doctor_checks.result import (
    CheckResult,
    database_session,
    doubtful,
    embedded,
    judged,
    place,
    well,
    wrong,
)
from tds_core import partitions
from tds_core.config.settings import Settings
from tds_core.database_urls import without_driver
from tds_core.health.health import HealthState
from tds_core.health.infrastructure import is_migrated, replica_health
from tds_core.health.read_replica import written_position
from tds_core.schema.migrations import newest_revision
from tds_core.worker_slots import NO_WORKERS, SILENT_SECONDS, Capacity
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
_RIGHTS = """
select current_user, r.rolsuper, (
    select count(distinct t.tgrelid) from pg_trigger t join pg_proc p on p.oid = t.tgfoid
    join pg_class c on c.oid = t.tgrelid
    where p.proname = 'tds_refuse_change' and pg_has_role(current_user, c.relowner, 'MEMBER'))
from pg_roles r where r.rolname = current_user
"""

_LIVING = f"""
select count(*), coalesce(sum(slot_count), 0) from tds_listeners
where ended_at is null and alive_at > clock_timestamp() - interval '{SILENT_SECONDS} seconds'
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
        schema = _schema(connection)
        yield schema
        if schema.is_ok:
            yield _partitions(settings)
        if settings.source_of("TDS_DATABASE_URL") != "running stack":  # the embedded one has no other users
            yield _rights(connection)
        values = dict(_rows(connection, _SETTINGS))
        yield _durability(values)
        allowed = int(values["max_connections"]) - int(values["superuser_reserved_connections"])
        yield connections(settings, allowed, _living(connection))
        yield _clock(connection)
        if settings.replica_url:
            yield _replica(settings)
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
    return judged("Schema", bool(current) and is_migrated(current), says, "Run: tds migrate")


def _partitions(settings: Settings) -> CheckResult:
    """Rows of the time that comes next have a partition, so that they can be dropped whole when they are old."""
    with database_session(settings) as session:
        missing = partitions.tables_without_next(session)
    if not missing:
        return well("Partitions", "there for the time to come")
    says = f"{', '.join(missing)}: none for what comes next, so rows will go to the default one"
    return doubtful("Partitions", says, "Run: tds schedule run retention")


def _rights(connection: Any) -> CheckResult:
    """History is protected from whoever runs TDS only if that role neither owns it nor stands above all rights."""
    [(user, is_superuser, owned)] = _rows(connection, _RIGHTS)
    if not is_superuser and not owned:
        return well("Rights", f"{user} cannot change history")
    why = "is a superuser" if is_superuser else f"owns {owned} tables of history"
    mend = "Name tds_app in TDS_DATABASE_URL, the owner in TDS_MIGRATION_DATABASE_URL; then: tds database roles"
    return doubtful("Rights", f"{user} {why}, so it can switch off what keeps history unchanged", mend)


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


def _living(connection: Any) -> Capacity:
    """The workers that run, wherever they were started."""
    if not _rows(connection, "select to_regclass('tds_listeners')::text")[0][0]:
        return NO_WORKERS
    [(worker_count, slot_count)] = _rows(connection, _LIVING)
    return Capacity(int(worker_count), int(slot_count))


def connections(settings: Settings, allowed: int, living: Capacity = NO_WORKERS) -> CheckResult:
    """Whether there are connections for everything the settings start, and for the workers that run, at its busiest."""
    workers = max(settings.workers, living.worker_count)
    tasks = max(settings.workers * settings.worker_concurrency, living.slot_count)
    needed = settings.api_processes * _API + tasks * _TASK + workers * _WORKER + _OTHERS
    says = f"{needed} of {allowed} needed by {workers} workers with {tasks} tasks, at their busiest"
    more = f"ALTER SYSTEM SET max_connections = {needed * 5 // 4 + 10}, then restart PostgreSQL; or run fewer workers"
    if needed > allowed:
        return wrong("Connections", says, more)
    return doubtful("Connections", says, more) if needed > allowed * 0.8 else well("Connections", says)


def _replica(settings: Settings) -> CheckResult:
    """Whether the read replica keeps up, and how far it is behind."""
    with database_session(settings) as session:
        found = replica_health(settings, written_position(session))
    says = f"{place(settings, 'TDS_REPLICA_URL')}: {found.says}"
    return well("Read replica", says) if found.state is HealthState.OK else doubtful("Read replica", says, found.mend)


def _clock(connection: Any) -> CheckResult:
    before = time.time()
    [(there,)] = _rows(connection, "select extract(epoch from clock_timestamp())::float8")
    after = time.time()
    skew = max(0.0, before - there, there - after)
    if skew > SKEW_SECONDS:
        return doubtful("Clock of PostgreSQL", f"{skew:.0f} s away from this one", "timedatectl set-ntp true, on both")
    return well("Clock of PostgreSQL", "the same as here")
