"""`tds backup`: takes a backup of the database with PostgreSQL's own programs, lists and verifies those there are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tds_api.cli.common.database import DatabaseAwayError, transaction
from tds_api.cli.common.output import cell, moment, say, say_json, say_table, terminal
from tds_core.backups import catalog, store
from tds_core.backups.catalog import BackupEntry
from tds_core.backups.store import RestoreRow
from tds_core.config.settings import load_settings
from tds_core.errors import ConfigError
from tds_core.observability.logging import configure_logging
from tds_local.backups import backup_loop, base_backup, wal_archive
from tds_local.backups.postgres_tools import OnProgress

backup = typer.Typer(help="Take a backup; list, verify and archive.", invoke_without_command=True)

_AS_JSON = typer.Option(False, "--json", help="For programs.")
_COLUMNS = ("name", "kind", "taken", "moments from", "MB", "secrets", "builds on")
_RESTORE_COLUMNS = ("when", "kind", "backup", "holds changes up to", "seconds", "result")


@backup.callback()
def take(
    context: typer.Context,
    full: bool = typer.Option(False, "--full", help="Copy everything, even if only changes could be copied."),
    with_secrets: bool = typer.Option(
        False,
        "--with-secrets",
        help="Put TDS_SECRET_KEY and the other secrets in: whoever has the backup, has all.",
    ),
    as_json: bool = _AS_JSON,
) -> None:
    """Take a backup into TDS_BACKUP_DIRECTORY: what changed since the last one, or everything.

    The secrets are not in it unless you say so: keep them elsewhere, since without them what is encrypted stays so.
    """
    if context.invoked_subcommand:
        return
    settings = load_settings()
    configure_logging(settings.replace("command line", log_level="ERROR"), process="cli")
    with _progress(quiet=as_json) as on_progress:
        entry = backup_loop.taken(settings, full=full, with_secrets=with_secrets, on_progress=on_progress)
    if as_json:
        say_json(_fields(entry))
        return
    seconds = (entry.ended_at - entry.started_at).total_seconds()
    say(f"Backup {entry.name} ({entry.kind}, {entry.byte_count / 1e6:,.0f} MB) is whole, taken in {seconds:.0f} s.")
    if not with_secrets:
        say("Its secrets are not in it: keep TDS_SECRET_KEY (secrets.json of TDS_HOME, or .env) somewhere else.")
    if not wal_archive.segments(base_backup.backup_directory(settings), entry.wal):
        say("No log is archived, so only its own moment can be restored. For every moment since: tds backup run")


@backup.command("list")
def list_backups(as_json: bool = _AS_JSON) -> None:
    """Show the backups there are, and the restores and drills the database knows of; no database is needed for them."""
    settings = load_settings()
    directory = base_backup.backup_directory(settings)
    found, done = catalog.entries(directory), _restores()
    if as_json:
        say_json({"directory": str(directory), "backups": [_fields(each) for each in found], "restores": done})
        return
    say_table(f"Backups in {directory}", _COLUMNS, map(_row, found), console=terminal())
    newest = wal_archive.newest_change_at(directory, found[-1].wal) if found else None
    if newest:
        say(f"The log is archived up to {moment(newest)}: any moment from the first one on can be restored.")
    say_table("Restores and drills", _RESTORE_COLUMNS, map(_restore_row, done), console=terminal())


@backup.command()
def verify(
    name: str = typer.Argument("", help="Only this one, with those it builds on; without it, all.", show_default=False),
    as_json: bool = _AS_JSON,
) -> None:
    """Hold every file of a backup against its manifest, and look for gaps in the archived log. Exit code 1: damaged."""
    directory = base_backup.backup_directory(load_settings())
    found = catalog.entries(directory)
    newest = catalog.chosen(found, name=name)
    chosen = catalog.chain_of(found, newest) if name else found
    base_backup.verify(directory, chosen)
    for entry in chosen:
        wal_archive.check_whole(directory, entry)
    if as_json:
        say_json({"verified": [entry.name for entry in chosen]})
    else:
        say(f"{len(chosen)} backups are as they were written, and the log since has no gap.")


@backup.command()
def run() -> None:
    """Archive the log as it is written and take backups when due, until a signal; `tds up` does so by itself."""
    backup_loop.main()


@backup.command()
def secrets(as_json: bool = _AS_JSON) -> None:
    """Print the secrets that belong to the backups, for a safe place of their own; they open everything."""
    found = base_backup.secrets_of(load_settings())
    if not found:
        raise ConfigError("No secret is set here. They are in secrets.json of TDS_HOME, or in .env.")
    if as_json:
        say_json(found)
    else:
        for name, value in found.items():
            say(f"{name}={value}")


def _fields(entry: BackupEntry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__struct_fields__}


def _row(entry: BackupEntry) -> tuple[Any, ...]:
    size = round(entry.byte_count / 1e6)
    return entry.name, entry.kind, entry.ended_at, moment(entry.ended_at), size, entry.holds_secrets, entry.parent


def _restore_row(row: RestoreRow) -> tuple[Any, ...]:
    seconds = (row["ended_at"] - row["started_at"]).total_seconds()
    return row["ended_at"], row["kind"], row["backup"], cell(row["reached_at"]), seconds, row["error"] or "in order"


def _restores() -> list[RestoreRow]:
    """What the database knows; nothing while there is none, which is when backups are looked for."""
    try:
        with transaction() as session:
            return store.restores(session)
    except (ConfigError, DatabaseAwayError):
        return []


@contextmanager
def _progress(*, quiet: bool) -> Iterator[OnProgress]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal(stderr=True, quiet=quiet), transient=True) as bar:
        shown = bar.add_task("Copying the server", total=None)
        yield lambda done, total: bar.update(shown, completed=done, total=total)
