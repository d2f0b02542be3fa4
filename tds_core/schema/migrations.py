"""Migrations: brings the database schema to the newest or any other revision."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from tds_core.errors import ConfigError
from tds_core.schema import database_roles, partition_conversion
from tds_core.schema import downgrade_backups as backward
from tds_core.schema.database_roles import RoleLogins
from tds_core.schema.downgrade_backups import Loss
from tds_models.base import MIRROR_SCHEMA, Base, mirror_metadata
from tds_models.db import UNLIMITED, make_engine


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """The result of a migration: the revision, what a downgrade loses, and the tables an upgrade restored.

    `is_done`: False if a downgrade would lose data and was not allowed to.
    """

    revision: str | None
    losses: tuple[Loss, ...] = ()
    restored: tuple[str, ...] = ()
    is_done: bool = True


def upgrade(database_url: str, revision: str = "head", *, logins: RoleLogins | None = None) -> str | None:
    """Migrate the database to a revision in one transaction. Returns its revision."""
    return migrate(database_url, revision, logins=logins).revision


def migrate(
    database_url: str, revision: str = "head", *, may_lose: bool = False, logins: RoleLogins | None = None
) -> MigrationStep:
    """Upgrade or downgrade the database to a revision in one transaction.

    A downgrade that loses rows or values needs `may_lose`; they are backed up, and restored by the next upgrade. With
    `logins` the roles of owner, application and reader are made first; see `tds_core.schema.database_roles`. What takes
    long before tables can be partitioned is done beforehand, in transactions of its own. "head" leaves the schema of a
    newer version as it is: programs of this version run on it.
    """
    engine = make_engine(database_url, pool_size=1, application="tds migrate", timeouts=UNLIMITED)
    try:
        with engine.connect() as connection:
            refuse_foreign_tables(connection)
        if revision == "head":
            if _is_of_a_newer_version(engine):
                return MigrationStep(current_revision(engine))
            partition_conversion.prepare(engine)
        with engine.connect() as connection, connection.begin() as transaction:
            if logins:
                database_roles.set_up(connection, logins)
            database_roles.act_as_owner(connection)
            lost: list[Loss] = []
            restored: list[str] = []
            is_downgrade = _is_downgrade(connection, revision)
            if is_downgrade:
                lost = _downgrade(connection, revision, may_lose=may_lose)
            else:
                _run(command.upgrade, connection, revision)
                restored = backward.restore(connection, _parents_first())
            is_done = may_lose or not lost
            if not is_done:
                transaction.rollback()
        return MigrationStep(current_revision(engine), tuple(lost), tuple(restored), is_done)
    finally:
        engine.dispose()


_TAKEN = text("""
select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and (n.nspname = :mirror or n.nspname = 'public' and c.relname like 'tds\\_%')
order by 1 limit 5
""")


def refuse_foreign_tables(connection: Connection) -> None:
    """Raise ConfigError where a database that was never migrated has another program's tables in TDS's places."""
    if MigrationContext.configure(connection).get_current_revision() is not None:
        return
    if taken := connection.execute(_TAKEN, {"mirror": MIRROR_SCHEMA}).scalars().all():
        raise ConfigError(
            f"This database has tables of another program where TDS has its own: {', '.join(taken)}. Nothing was"
            " changed. Give TDS a database of its own, or move those to another schema: create schema legacy; alter"
            f" table {taken[0]} set schema legacy"
        )


def _is_of_a_newer_version(engine: Engine) -> bool:
    at = current_revision(engine)
    return at is not None and at not in {each.revision for each in _scripts().walk_revisions()}


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(configuration_of())


def _downgrade(connection: Connection, revision: str, *, may_lose: bool) -> list[Loss]:
    before = backward.shape_of(connection)
    savepoint = connection.begin_nested()
    _run(command.downgrade, connection, revision)
    after = backward.shape_of(connection)
    savepoint.rollback()
    lost = backward.losses(connection, before, after)
    if may_lose or not lost:
        backward.set_aside(connection, lost, before, after)
        _run(command.downgrade, connection, revision)
    return lost


def _run(move: Callable[[Config, str], None], connection: Connection, revision: str) -> None:
    configuration = configuration_of()
    configuration.attributes["connection"] = connection
    move(configuration, revision)


def _is_downgrade(connection: Connection, revision: str) -> bool:
    """Whether `revision` is older than the database's."""
    at = MigrationContext.configure(connection).get_current_revision()
    if at is None or revision in ("base", "head", at) or revision.startswith(("+", "-")):
        return revision == "base" or revision.startswith("-")
    script = _scripts()
    target = script.get_revision(revision)
    ancestors = {each.revision for each in script.walk_revisions("base", at)}
    return target is not None and target.revision != at and target.revision in ancestors


def _parents_first() -> list[str]:
    tables = [*Base.metadata.sorted_tables, *mirror_metadata.sorted_tables]
    return [f"{table.schema or 'public'}.{table.name}" for table in tables]


def scripts_directory() -> Path:
    """Return the directory of Alembic's scripts: in an installed TDS beside this module, in a checkout `migrations/`.

    The wheel takes them into this package (setup.py), as a top-level package `migrations` would be anybody's.
    """
    installed = Path(__file__).with_name("alembic")
    return installed if installed.is_dir() else Path(__file__).parents[2] / "migrations"


def configuration_of() -> Config:
    """Return Alembic's configuration; the scripts are found where TDS is, whatever the working directory."""
    configuration = Config()
    configuration.set_main_option("script_location", str(scripts_directory()))
    return configuration


def newest_revision() -> str | None:
    """Return the revision this version of TDS was written for."""
    return _scripts().get_current_head()


def current_revision(engine: Engine) -> str | None:
    """Return the revision the database is at; None when it was never migrated."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()
