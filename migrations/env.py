"""Alembic's entry: which metadata to compare, and which database to change."""

from alembic import context
from sqlalchemy import Connection

from tds_core.config.settings import load_settings
from tds_core.schema import database_roles
from tds_models import (  # noqa: F401  (they fill the metadata)
    alerts,
    audit_trail,
    auth,
    backups,
    comparison,
    configuration,
    cutover,
    dead_letters,
    findings,
    healing,
    inbox,
    known_keys,
    oauth,
    queue,
    replay,
    runs,
    schedule,
    statistics,
    subscriptions,
    validation,
    webhook_coverage,
)
from tds_models.base import MIRROR_SCHEMA, Base, mirror_metadata
from tds_models.db import Lock, make_engine
from tds_models.entities import ENTITIES
from tds_models.partitions import is_partition

assert ENTITIES  # noqa: S101  (the registry fills the mirror's metadata)


def included(name: str | None, kind: str, _parents: object) -> bool:
    """Compare only schemas of ours, and of partitioned tables the whole: partitions come and go."""
    if kind == "table" and name is not None:
        return not is_partition(name)
    return kind != "schema" or name in (None, MIRROR_SCHEMA)


def migrate(connection: Connection) -> None:
    """Run the migrations on `connection` in one transaction."""
    # Two migrators at once would race for the same tables; the second waits here and then finds nothing to do.
    connection.execute(Lock.MIGRATION.until_commit())
    database_roles.act_as_owner(connection)
    context.configure(
        connection=connection,
        target_metadata=[Base.metadata, mirror_metadata],
        include_schemas=True,
        include_name=included,
        compare_type=True,
        transactional_ddl=True,
    )
    context.run_migrations()
    database_roles.grant(connection)


def run() -> None:
    """Use the caller's connection (`tds migrate`, tests), else the database that the settings name, also in `.env`."""
    given = context.config.attributes.get("connection")
    if given is not None:
        migrate(given)
        return
    settings = load_settings()
    url = (
        context.config.get_alembic_option("sqlalchemy.url") or settings.migration_database_url or settings.database_url
    )
    if not url:
        raise SystemExit("Set TDS_DATABASE_URL to the database to migrate, or use `tds migrate`.")
    with make_engine(url).begin() as connection:
        migrate(connection)


run()
