"""`tds restore`: puts a backup back, up to a moment; `--drill` tries that beside the database, and checks it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tds_api.cli.common.database import DatabaseAwayError, transaction
from tds_api.cli.common.output import moment, read_moment, say, say_json, terminal
from tds_core.backups import store
from tds_core.config.settings import Settings, load_settings
from tds_core.errors import ConfigError
from tds_core.observability.logging import configure_logging
from tds_local.backups import base_backup, recovery
from tds_local.backups import restore as restores
from tds_local.backups.drill import DrillReport, drill
from tds_local.backups.recovery import RecoveryPlan
from tds_local.backups.step_log import StepLog

_OWN_DATABASE = ("default", "running stack", "embedded")


def restore(  # noqa: PLR0917 (options, which are given by name)
    name: str = typer.Argument("", help="From this backup; without it, the newest that fits.", show_default=False),
    to: str = typer.Option("", metavar="WHEN", help='Up to this moment: "2026-11-29 12:03" (UTC), or 15min, 2h ago.'),
    into: str = typer.Option("", metavar="DIRECTORY", help="Make a directory your own PostgreSQL starts from."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Set the present embedded database aside."),
    without_key: bool = typer.Option(False, "--without-key", help="Although the key of its secrets is lost."),
    is_drill: bool = typer.Option(False, "--drill", help="Restore beside, check everything, leave one dated row."),
    no_compare: bool = typer.Option(False, "--no-compare", help="With --drill: ask nothing of Zoho."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Put a backup in the place of the embedded database, up to a moment if one is named.

    Nothing that is there is overwritten without --overwrite, and even then it is set aside. With --drill nothing is
    touched. Exit code 1: it is damaged, or a drill found something wrong.
    """
    settings = load_settings()
    configure_logging(settings.replace("command line", log_level="ERROR"), process="cli")
    planned = recovery.plan(base_backup.backup_directory(settings), name=name, to=read_moment(to))
    with _steps(quiet=as_json) as steps:
        if is_drill:
            _end_of_drill(planned, drill(settings, planned, compares=not no_compare, steps=steps), as_json)
        elif into:
            place = Path(into).expanduser().absolute()
            restores.restore_into(planned, place, steps=steps)
            _end_of_directory(planned, place, steps, as_json)
        else:
            _restore_here(settings, planned, steps, overwrite=overwrite, without_key=without_key, as_json=as_json)


def _restore_here(
    settings: Settings, planned: RecoveryPlan, steps: StepLog, *, overwrite: bool, without_key: bool, as_json: bool
) -> None:
    if settings.source_of("TDS_DATABASE_URL") not in _OWN_DATABASE:
        raise ConfigError(
            f"The database is {settings.shown('TDS_DATABASE_URL')}, a server of your own. Make a directory "
            "it can start from: tds restore --into DIRECTORY; or try the backup: tds restore --drill"
        )
    reached_at = restores.restore_embedded(settings, planned, overwrite=overwrite, without_key=without_key, steps=steps)
    if as_json:
        say_json({"backup": planned.newest.name, "reached_at": reached_at, "steps": steps.done})
        return
    say(f"Restored from {planned.newest.name}, with every change up to {moment(reached_at)}.")
    say("Next: tds up; it brings what Zoho changed since by itself. Then: tds audit verify, tds compare")


def _end_of_directory(planned: RecoveryPlan, into: Path, steps: StepLog, as_json: bool) -> None:
    if as_json:
        say_json({"backup": planned.newest.name, "directory": str(into), "steps": steps.done})
        return
    major = planned.newest.postgres_major
    say(f"{into} is ready. Give it to the server's account and start PostgreSQL {major}; it replays the log first:")
    say(f"  chown -R postgres: {into} && sudo -u postgres pg_ctl -D {into} -w -t 3600 start")
    say("That account has to read TDS_BACKUP_DIRECTORY. Then: tds migrate, tds audit verify, tds backup --full")


def _end_of_drill(planned: RecoveryPlan, report: DrillReport, as_json: bool) -> None:
    row = {
        "kind": store.DRILL, "backup": report.backup, "started_at": report.started_at, "target_at": planned.to,
        "reached_at": report.reached_at, "error": report.error, "steps": report.steps,
    }  # fmt: skip
    kept = _keep(row)
    if as_json:
        say_json({**row, "id": kept, "comparison": report.comparison, "revision": report.revision})
    elif report.error:
        say(f"The drill of {report.backup} failed: {report.error}", err=True)
    else:
        reached = f" with every change up to {moment(report.reached_at)}" if report.reached_at else ""
        say(f"Backup {report.backup} was restored beside the database{reached}, and is in order.")
        if kept is None:
            say("No database answers, so no row of it was kept.")
    if report.error:
        raise typer.Exit(1)


def _keep(row: dict[str, object]) -> int | None:
    """Keep the row of a drill; None where no database answers: then the drill is all the more of use."""
    try:
        with transaction() as session:
            return store.add_restore(session, **row)
    except (ConfigError, DatabaseAwayError):
        return None


@contextmanager
def _steps(*, quiet: bool) -> Iterator[StepLog]:
    console = terminal(stderr=True, quiet=quiet, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        shown = bar.add_task("verify", total=None)

        def parts(name: str, done: int, total: int) -> None:
            bar.update(shown, description=name, completed=done, total=total)

        def ended(name: str, seconds: float, says: str) -> None:
            bar.update(shown, description="", completed=0, total=None)
            console.print(f"{name:<10} [dim]{seconds:6.1f} s[/]  ", end="")
            console.print(says, markup=False, soft_wrap=True)

        yield StepLog(ended, parts)
