"""`tds migrate`: the schema of the settings' database, brought up to date."""

import contextlib

import typer

from tds_api.cli import migrations
from tds_api.cli.output import say
from tds_core.config import Settings, load_settings
from tds_core.embedded import EmbeddedPostgres


def migrate(revision: str = typer.Option("head", help="Where to go; the newest unless said.")) -> None:
    """Bring the database's schema to its newest revision (an embedded one is started for it)."""
    settings = load_settings()
    with contextlib.ExitStack() as ends:
        url = _database_of(settings, ends)
        say(f"{settings.shown('TDS_DATABASE_URL') or 'embedded'}: revision {migrations.upgrade(url, revision)}")


def _database_of(settings: Settings, ends: contextlib.ExitStack) -> str:
    if settings.database_url:
        return settings.database_url
    return ends.enter_context(EmbeddedPostgres(settings.home)).url
