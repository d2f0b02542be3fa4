"""The schema of the settings' database, brought to its newest revision from wherever TDS is installed."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

import migrations
from tds_models.db import UNHURRIED, make_engine


def upgrade(database_url: str, revision: str = "head") -> str | None:
    """Bring the database to a revision in one transaction; returns the revision it is at then."""
    engine = make_engine(database_url, pool_size=1, application="tds migrate", patience=UNHURRIED)
    try:
        with engine.begin() as connection:
            configuration = configuration_of()
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, revision)
        return current_revision(engine)
    finally:
        engine.dispose()


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
