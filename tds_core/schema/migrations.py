"""Migrations: brings the database schema to the newest or any other revision."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

import migrations
from tds_core.schema import downgrade as backward
from tds_core.schema.downgrade import Loss
from tds_models.base import Base, mirror_metadata
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


def upgrade(database_url: str, revision: str = "head") -> str | None:
    """Migrate the database to a revision in one transaction. Returns its revision."""
    return migrate(database_url, revision).revision


def migrate(database_url: str, revision: str = "head", *, may_lose: bool = False) -> MigrationStep:
    """Upgrade or downgrade the database to a revision in one transaction.

    A downgrade that loses rows or values needs `may_lose`; they are backed up, and restored by the next upgrade.
    """
    engine = make_engine(database_url, pool_size=1, application="tds migrate", timeouts=UNLIMITED)
    try:
        with engine.connect() as connection, connection.begin() as transaction:
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
    script = ScriptDirectory.from_config(configuration_of())
    target = script.get_revision(revision)
    ancestors = {each.revision for each in script.walk_revisions("base", at)}
    return target is not None and target.revision != at and target.revision in ancestors


def _parents_first() -> list[str]:
    tables = [*Base.metadata.sorted_tables, *mirror_metadata.sorted_tables]
    return [f"{table.schema or 'public'}.{table.name}" for table in tables]


def configuration_of() -> Config:
    """Return Alembic's configuration; the scripts are found in the installed package, not in a checkout."""
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return configuration


def newest_revision() -> str | None:
    """Return the revision this version of TDS was written for."""
    return ScriptDirectory.from_config(configuration_of()).get_current_head()


def current_revision(engine: Engine) -> str | None:
    """Return the revision the database is at; None when it was never migrated."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()
