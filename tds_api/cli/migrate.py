"""`tds migrate`: brings the database's schema to its newest revision, or back to an earlier one."""

import contextlib

import typer

from tds_api.cli.common.output import say
from tds_core.config.settings import Settings, load_settings
from tds_core.schema import downgrade, migrations
from tds_local.embedded import EmbeddedPostgres


def migrate(
    revision: str = typer.Option("head", help="Where to go; the newest unless said. An earlier one goes back."),
    yes: bool = typer.Option(False, "--yes", help="Go back although rows are lost until the next migration forward."),
) -> None:
    """Bring the database's schema to its newest revision (an embedded one is started for it).

    Going back tells what the earlier revision has no place for. With --yes that is set aside, and comes back with the
    next migration forward.
    """
    settings = load_settings()
    with contextlib.ExitStack() as ends:
        step = migrations.migrate(_database_of(settings, ends), revision, may_lose=yes)
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
            f"It is set aside in the schema {downgrade.ASIDE} and comes back with: tds migrate. Until then, operators,"
            " keys and entities this revision does not know are not there."
        )
    for table in step.restored:
        say(f"put back: {table}")
    say(f"{where}: revision {step.revision}")


def _database_of(settings: Settings, ends: contextlib.ExitStack) -> str:
    if settings.database_url:
        return settings.database_url
    return ends.enter_context(EmbeddedPostgres(settings.home)).url
