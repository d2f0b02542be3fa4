"""`tds database roles`: makes the roles of owner, application and reader, and grants each its rights."""

import typer

from tds_api.cli.common.output import say, say_json
from tds_core.config.settings import load_settings
from tds_core.errors import ConfigError
from tds_core.schema import database_roles
from tds_models.db import UNLIMITED, make_engine

database = typer.Typer(no_args_is_help=True, help="The database itself: who may do what in it.")


@database.callback()
def _group() -> None:
    """Keep `roles` a command of its own while it is the only one."""


@database.command("roles")
def roles(
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show the statements; nothing is changed."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Make the roles tds_owner, tds_app and tds_reader and grant each its rights; `tds migrate` does so, too.

    TDS_MIGRATION_DATABASE_URL names who does it, a superuser or the owner; TDS_DATABASE_URL the application's role,
    with the password it is to have; TDS_READER_PASSWORD the reader's. It may be repeated at any time.
    """
    settings = load_settings()
    settings.require("TDS_DATABASE_URL", "TDS_MIGRATION_DATABASE_URL")
    urls = settings.database_url, settings.migration_database_url
    logins = database_roles.logins_of(*urls, settings.reader_password)
    if logins is None:
        raise ConfigError(
            "TDS_DATABASE_URL and TDS_MIGRATION_DATABASE_URL name the same role. Name tds_app in the first, with the"
            " password it is to have."
        )
    engine = make_engine(settings.migration_database_url, pool_size=1, application="tds-cli", timeouts=UNLIMITED)
    try:
        with engine.connect() as connection, connection.begin() as transaction:
            statements = database_roles.set_up(connection, logins)
            database_roles.act_as_owner(connection)
            statements += database_roles.grant(connection)
            if dry_run:
                transaction.rollback()
    finally:
        engine.dispose()
    if as_json:
        say_json({"statements": statements, "changed": bool(statements) and not dry_run})
        return
    for statement in statements:
        say(f"{statement};")
    if not dry_run:
        say(f"{len(statements)} statements ran. What each role may do: docs/database-roles.md", err=True)
