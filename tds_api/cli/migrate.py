"""`tds migrate`: brings the database's schema to its newest revision, or back to an earlier one."""

import contextlib
import time

import typer
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tds_api.cli.common.database import DatabaseAwayError
from tds_api.cli.common.output import say
from tds_core.config.settings import Settings, load_settings
from tds_core.health import infrastructure
from tds_core.schema import downgrade_backups, migrations
from tds_core.schema.database_roles import logins_of
from tds_local.embedded import EmbeddedPostgres
from tds_models.db import make_engine, session_scope


def migrate(
    revision: str = typer.Option("head", help="Where to go; the newest unless said. An earlier one goes back."),
    yes: bool = typer.Option(False, "--yes", help="Go back although rows are lost until the next migration forward."),
    wait: int = typer.Option(0, help="Migrate nothing: wait until it has been done elsewhere, for so many seconds."),
) -> None:
    """Bring the database's schema to its newest revision (an embedded one is started for it).

    Going back tells what the earlier revision has no place for. With --yes that is set aside, and comes back with the
    next migration forward.
    """
    settings = load_settings()
    if wait:
        _wait(settings, wait)
        return
    with contextlib.ExitStack() as ends:
        logins = logins_of(settings.database_url, settings.migration_database_url, settings.reader_password)
        step = migrations.migrate(_database_of(settings, ends), revision, may_lose=yes, logins=logins)
    where = settings.shown("TDS_DATABASE_URL") or "embedded"
    if step.losses:
        say(f"Revision {revision} has no place for:" if step.is_done else f"Revision {revision} would lose:")
        for loss in step.losses:
            say(f"  {loss}")
    if not step.is_done:
        say(
            f"Nothing was changed; {where} stays at revision {step.revision}. To go back all the same, stop TDS; then:"
            f" tds migrate --revision {revision} --yes. What is lost is set aside until: tds migrate",
            err=True,
        )
        raise typer.Exit(1)
    if step.losses:
        say(
            f"It is set aside in the schema {downgrade_backups.ASIDE} and comes back with: tds migrate. Until then,"
            " operators, keys and entities this revision does not know are not there."
        )
    for table in step.restored:
        say(f"put back: {table}")
    say(f"{where}: revision {step.revision}")


def _database_of(settings: Settings, ends: contextlib.ExitStack) -> str:
    if settings.database_url:
        return settings.migration_database_url or settings.database_url
    return ends.enter_context(EmbeddedPostgres(settings.home)).url


def _wait(settings: Settings, seconds: int) -> None:
    """Return when the database has this version's tables or newer ones. Raises DatabaseAwayError after `seconds`."""
    settings.require("TDS_DATABASE_URL")
    engine = make_engine(settings.database_url, pool_size=1, application="tds-cli", timeouts=settings.timeouts)
    ends_at = time.monotonic() + seconds
    try:
        while not (at := _revision(engine)) or not infrastructure.is_migrated(at):
            if time.monotonic() >= ends_at:
                where = settings.shown("TDS_DATABASE_URL")
                says = f"is at revision {at}" if at else "does not answer or has no tables"
                raise DatabaseAwayError(f"{where} {says} after {seconds} s of waiting. Migrate it with: tds migrate")
            time.sleep(1)
    finally:
        engine.dispose()
    say(f"{settings.shown('TDS_DATABASE_URL')}: revision {at}")


def _revision(engine: Engine) -> str | None:
    try:
        with session_scope(engine) as session:
            return infrastructure.revision(session)
    except SQLAlchemyError:
        return None
