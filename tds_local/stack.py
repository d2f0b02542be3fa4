"""A whole TDS as processes of this machine, for as long as a `with` block lasts. Used by `tds up` and `tds demo`."""

import contextlib
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from cryptography.fernet import Fernet

from tds_core import secret_key
from tds_core.auth.operators import first_admin
from tds_core.config.settings import Settings
from tds_core.config.sources import RUNNING_FILE, SECRETS_FILE
from tds_core.errors import ConfigError
from tds_core.schema import migrations
from tds_core.schema.database_roles import logins_of
from tds_core.sources import mirrored_organization
from tds_local.control_socket import ControlSocket
from tds_local.embedded import EmbeddedPostgres, EmbeddedRedis
from tds_local.embedded.guardian import Guardian
from tds_local.embedded.home import Ownership, secret_of_home, write_private
from tds_local.embedded.readiness import is_free
from tds_local.programs import environment_of, local_address, programs_of
from tds_local.supervisor import Program, Supervisor
from tds_models.db import make_engine, session_scope

FIRST_ADMIN_STEP = "first admin"
OnStep = Callable[[str, float, str], None]
Server = EmbeddedPostgres | EmbeddedRedis


@dataclasses.dataclass(frozen=True)
class Stack:
    """A running TDS: complete settings, addresses for people, the processes, and its embedded servers by name.

    `first_admin`: name and password of the administrator this start created, else None. The password is not stored.
    """

    settings: Settings
    urls: Mapping[str, str]
    processes: Supervisor
    servers: Mapping[str, Server]
    first_admin: tuple[str, str] | None = None

    def wait(self) -> None:
        """Wait until a signal handler raises, or the supervisor raises `ProgramFailedError`."""
        self.processes.wait()


@contextlib.contextmanager
def running_stack(
    settings: Settings,
    *,
    extra_env: Mapping[str, str] | None = None,
    on_step: OnStep = lambda _name, _seconds, _detail: None,
    programs: Callable[[Settings], Iterable[Program]] = programs_of,
) -> Iterator[Stack]:
    """Start everything, and stop it in reverse order when the block ends.

    `on_step(name, seconds, detail)` is called after every step. `extra_env`: for all programs. `programs`: what to run.
    Raises AlreadyRunningError, ConfigError, EmbeddedServerError or ProgramFailedError.
    """
    home = settings.home
    with contextlib.ExitStack() as ends:
        owner = Ownership(home / "owner", what="TDS")
        owner.take()
        ends.callback(owner.release)
        _check_ports(settings)
        guard = Guardian()
        ends.callback(guard.close)
        servers: dict[str, Server] = {}
        _check_secrets_of_home(home)
        settings = _with_stores(settings, ends, servers, on_step)
        with _step(on_step, "migrate") as set_detail:
            set_detail(f"revision {migrate_schema(settings)}")
        settings = _with_secrets(settings)
        _check_organization(settings)
        admin = _first_admin(settings)
        if admin:
            on_step(FIRST_ADMIN_STEP, 0.0, f"log in as {admin[0]} with {admin[1]} (shown this once)")
        _fresh_directories(home)
        env = {**environment_of(settings), **(extra_env or {})}
        supervisor = Supervisor(
            logs=home / "logs",
            env=env,
            guard=guard,
            keepers={name: each.keep_running for name, each in servers.items()},
        )
        ends.callback(supervisor.stop)
        _start_all(supervisor, programs(settings), on_step)
        control = ControlSocket(home, supervisor, servers)
        control.open()
        ends.callback(control.close)
        _announce(settings, ends)
        yield Stack(settings, _addresses(settings), supervisor, servers, admin)


def migrate_schema(settings: Settings) -> str | None:
    """Bring the schema to its newest revision, as the owner where the settings name one. Returns the revision."""
    is_embedded = settings.source_of("TDS_DATABASE_URL") in ("embedded", "running stack")
    if is_embedded or not settings.migration_database_url:
        return migrations.upgrade(settings.database_url)
    logins = logins_of(settings.database_url, settings.migration_database_url, settings.reader_password)
    return migrations.upgrade(settings.migration_database_url, logins=logins)


def _check_organization(settings: Settings) -> None:
    """Raise `OtherOrganizationError` when the database is another organisation's."""
    engine = make_engine(settings.database_url, pool_size=1, application="tds-cli")
    try:
        with session_scope(engine) as session:
            mirrored_organization.check(session, "zoho", settings.zoho_organization_id)
    finally:
        engine.dispose()


def _start_all(supervisor: Supervisor, programs: Iterable[Program], on_step: OnStep) -> None:
    """Launch all in order, so that they load in parallel, then wait for those with a readiness probe."""
    for running in [supervisor.launch(program) for program in programs]:
        awaited = running.program.is_ready is not None
        supervisor.await_ready(running)
        seconds = time.monotonic() - running.started_at if awaited else 0.0
        on_step(running.program.name, seconds, f"{'answers' if awaited else 'started'}, process {running.pid}")
    supervisor.supervise()


def _check_secrets_of_home(home: Path) -> None:
    """Raise ConfigError where the home has a database and its secrets are gone: new ones would open nothing of it."""
    has_database = any((home / "postgres" / name).exists() for name in ("data", "place"))
    if has_database and not (home / SECRETS_FILE).exists():
        raise ConfigError(
            f"{home / SECRETS_FILE} is gone, and with it the password and the key of the database in {home}. Put it "
            "back. If it is lost for good, restore a backup: tds restore --overwrite --without-key; or begin anew with "
            "TDS_HOME set to another directory. See docs/secret-key.md"
        )


def _check_secret_key(settings: Settings) -> None:
    """Raise LostKeyError where values are stored that the key does not open, before a new one is made."""
    engine = make_engine(settings.database_url, pool_size=1, application="tds up")
    try:
        with session_scope(engine) as session:
            source = settings.source_of("TDS_SECRET_KEY")
            secret_key.check(session, settings.secret_key, settings.secret_key_previous, source=source)
    finally:
        engine.dispose()


def _with_secrets(settings: Settings) -> Settings:
    """Fill in unset secrets with ones generated once and kept in the home directory. Raises LostKeyError."""
    _check_secret_key(settings)
    generated = {
        "secret_key": ("TDS_SECRET_KEY", lambda: Fernet.generate_key().decode()),
        "api_token": ("TDS_API_TOKEN", None),
        "flower_password": ("TDS_FLOWER_PASSWORD", None),
    }
    for field, (variable, make) in generated.items():
        if not getattr(settings, field):
            value = secret_of_home(settings.home, variable, *([make] if make else []))
            settings = settings.replace(SECRETS_FILE, **{field: value})
    return settings


def _with_stores(
    settings: Settings, ends: contextlib.ExitStack, servers: dict[str, Server], on_step: OnStep
) -> Settings:
    """Start an embedded PostgreSQL and Redis where no address is set."""
    for field, variable, embedded in (
        ("database_url", "TDS_DATABASE_URL", EmbeddedPostgres),
        ("redis_url", "TDS_REDIS_URL", EmbeddedRedis),
    ):
        is_external = getattr(settings, field) and settings.source_of(variable) != "running stack"
        name = "PostgreSQL" if field == "database_url" else "Redis"
        with _step(on_step, name) as set_detail:
            if is_external:
                set_detail(f"external: {settings.shown(variable)}")
                continue
            server = embedded(settings.home)
            settings = settings.replace("embedded", **{field: server.start()})
            ends.callback(server.stop)
            servers[name] = server
            set_detail(f"embedded: {settings.shown(variable)}")
    if settings.source_of("TDS_BROKER_URL") in ("default", "running stack"):
        settings = settings.replace(settings.source_of("TDS_REDIS_URL"), broker_url=settings.redis_url)
    return settings


def _first_admin(settings: Settings) -> tuple[str, str] | None:
    """Create an administrator if there is no operator yet. Returns name and password, else None."""
    engine = make_engine(settings.database_url, pool_size=1, application="tds up")
    try:
        with session_scope(engine) as session:
            made = first_admin(session, by="tds up")
        return (made[0]["name"], made[1]) if made else None
    finally:
        engine.dispose()


def _check_ports(settings: Settings) -> None:
    for variable, host, port in (
        ("TDS_PORT", settings.host, settings.port),
        ("TDS_FLOWER_PORT", "127.0.0.1", settings.flower_port),
    ):
        if not is_free(port, host):
            raise ConfigError(f"Port {port} on {host} is taken by another program. Set {variable} to a free one.")


def _fresh_directories(home: Path) -> None:
    """Create the directories; metrics start empty, or counts of old processes would be added to new ones."""
    shutil.rmtree(home / "metrics", ignore_errors=True)
    for name in ("metrics", "beat", "logs"):
        (home / name).mkdir(mode=0o700, parents=True, exist_ok=True)


def _announce(settings: Settings, ends: contextlib.ExitStack) -> None:
    """Write the addresses to the file where other `tds` commands on this machine look for them; deleted at the end."""
    path = settings.home / RUNNING_FILE
    values = {
        "TDS_DATABASE_URL": settings.database_url, "TDS_REDIS_URL": settings.redis_url, "TDS_HOST": settings.host,
        "TDS_PORT": settings.port, "TDS_FLOWER_PORT": settings.flower_port,
    }  # fmt: skip
    write_private(path, json.dumps({"pid": os.getpid(), **values}) + "\n")
    ends.callback(path.unlink, missing_ok=True)


def _addresses(settings: Settings) -> dict[str, str]:
    here = local_address(settings)
    return {
        "dashboard": f"{here}/dashboard",
        "health": f"{here}/healthz",
        "api": f"{here}/api/tds",
        "docs": f"{here}/api/tds/docs",
        "webhooks": f"{settings.public_url or here}/api/tds/zoho/webhooks",
        "flower": f"http://127.0.0.1:{settings.flower_port}/",
    }


@contextlib.contextmanager
def _step(on_step: OnStep, name: str) -> Iterator[Callable[[str], None]]:
    """Time a step and report it with the detail the block sets; a failed step is not reported."""
    detail: list[str] = [""]
    began = time.monotonic()
    yield lambda value: detail.__setitem__(0, value)
    on_step(name, time.monotonic() - began, detail[0])
