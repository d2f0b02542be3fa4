"""Alembic's entry: which metadata to compare, and which database to change."""

import os

from alembic import context
from sqlalchemy import Connection

from tds_models import (  # noqa: F401  (they fill the metadata)
    alerts,
    audit_trail,
    auth,
    comparison,
    dead_letters,
    findings,
    healing,
    inbox,
    known_keys,
    oauth,
    queue,
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

assert ENTITIES  # noqa: S101  (the registry fills the mirror's metadata)


def included(name: str | None, kind: str, _parents: object) -> bool:
    """Compare only schemas of ours."""
    return kind != "schema" or name in (None, MIRROR_SCHEMA)


def migrate(connection: Connection) -> None:
    """Run the migrations on `connection` in one transaction."""
    # Two migrators at once would race for the same tables; the second waits here and then finds nothing to do.
    connection.execute(Lock.MIGRATION.until_commit())
    context.configure(
        connection=connection,
        target_metadata=[Base.metadata, mirror_metadata],
        include_schemas=True,
        include_name=included,
        compare_type=True,
        transactional_ddl=True,
    )
    context.run_migrations()


def run() -> None:
    """Use the caller's connection when there is one (`tds migrate`, tests), else TDS_DATABASE_URL."""
    given = context.config.attributes.get("connection")
    if given is not None:
        migrate(given)
        return
    url = context.config.get_main_option("sqlalchemy.url") or os.environ.get("TDS_DATABASE_URL")
    if not url:
        raise SystemExit("Set TDS_DATABASE_URL to the database to migrate, or use `tds migrate`.")
    with make_engine(url).begin() as connection:
        migrate(connection)


run()
