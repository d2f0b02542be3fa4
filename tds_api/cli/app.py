"""The `tds` command: every command on one line, and the table from errors to exit codes."""

import os
import sys
import traceback
from importlib.metadata import entry_points, version
from typing import Any

import typer
from typer.core import TyperGroup

from tds_api.cli import (
    acceptance_scorecard,
    api_keys,
    audit,
    audit_log,
    audit_restart,
    backup,
    breakers,
    config,
    cursors,
    database_roles,
    doctor,
    erasure,
    explain,
    find,
    findings,
    heal,
    health,
    locks,
    manual_deletion,
    migrate,
    operator_sessions,
    operators,
    replay,
    restore,
    row_repair,
    runs,
    schedule,
    secret_key,
    stack,
    stats,
    subscriptions,
    sync,
    up,
    validate,
    verify_invariants,
    work_queue,
    workers,
    zoho,
)
from tds_api.cli.alerts import commands as alerts
from tds_api.cli.common.database import DatabaseAwayError
from tds_api.cli.common.lab import lab_missing
from tds_api.cli.common.output import say, say_error
from tds_api.cli.common.remote_api import RemoteAwayError
from tds_api.cli.comparison import commands as comparison
from tds_api.cli.comparison import statement_verification
from tds_api.cli.cutover import commands as cutover
from tds_api.cli.dead_letter import commands as dead_letter
from tds_core.errors import AlreadyRunningError, ConfigError, NotRunningError, TdsError

# Commands of the distribution tds-lab, which this one must not import: the entry-point group `tds.commands` names them.
_LAB_COMMANDS = frozenset({"demo", "chaos"})


class _Commands(TyperGroup):
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that `args` name. Raises ConfigError for one of tds-lab where that is not installed."""
        if args and args[0] in _LAB_COMMANDS and args[0] not in self.commands:
            raise lab_missing(f"`tds {args[0]}`")
        return super().resolve_command(ctx, args)


app = typer.Typer(name="tds", cls=_Commands, no_args_is_help=True, pretty_exceptions_show_locals=False)
app.command("up")(up.up)
app.add_typer(stack.stack, name="stack")
for entry_point in sorted(entry_points(group="tds.commands"), key=lambda each: each.name):
    app.command(entry_point.name)(entry_point.load())
app.command("sync")(sync.sync)
app.add_typer(runs.runs, name="runs")
app.command("stats")(stats.stats)
app.command("acceptance")(acceptance_scorecard.acceptance)
app.add_typer(workers.workers, name="workers")
app.command("health")(health.health)
app.command("find")(find.find)
app.command("rows")(find.rows)
app.command("delete")(manual_deletion.delete)
zoho.zoho.command("foreign-rows")(manual_deletion.foreign)
app.add_typer(erasure.erase, name="erase")
app.command("explain")(explain.explain)
app.command("replay")(replay.replay)
app.command("validate")(validate.validate)
app.command("compare", cls=comparison.CompareCommand)(comparison.compare)
verify_invariants.verify.command("statement")(statement_verification.statement)
app.add_typer(verify_invariants.verify, name="verify")
app.command("repair")(row_repair.repair)
audit.audit.command("actions")(audit.actions)
audit.audit.command("log")(audit_log.log)
audit.audit.command("reseal")(audit_restart.reseal)
app.add_typer(audit.audit, name="audit")
app.add_typer(backup.backup, name="backup")
app.add_typer(secret_key.secret_key_app, name="secret-key")
app.command("restore")(restore.restore)
app.add_typer(api_keys.keys, name="keys")
operators.operators.command("sessions")(operator_sessions.sessions)
app.add_typer(operators.operators, name="operators")
app.add_typer(dead_letter.dead_letter_app, name="dead-letter")
app.add_typer(schedule.schedule, name="schedule")
app.add_typer(breakers.breakers, name="breakers")
app.add_typer(cursors.cursors, name="cursors")
app.add_typer(work_queue.queue, name="queue")
app.add_typer(alerts.alerts, name="alerts")
app.add_typer(findings.findings, name="findings")
app.add_typer(heal.heal, name="heal")
app.add_typer(subscriptions.subscriptions, name="subscriptions")
app.add_typer(zoho.zoho, name="zoho")
app.command("locks")(locks.locks)
app.command("migrate")(migrate.migrate)
app.add_typer(cutover.migrate_from, name="migrate-from")
app.add_typer(database_roles.database, name="database")
app.add_typer(config.config_app, name="config")
app.command("doctor")(doctor.doctor)
app.command("sandbox", context_settings=up.PASS_ON, add_help_option=False)(up.sandbox)

# 0 done, 1 failed or something is wrong; others for scripts to distinguish:
EXIT_CODES: dict[type[TdsError], int] = {
    ConfigError: 2, AlreadyRunningError: 3, NotRunningError: 3, DatabaseAwayError: 4, RemoteAwayError: 4,
}  # fmt: skip


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"tds {version('tds')}")
        raise typer.Exit


@app.callback()
def tds(
    url: str = typer.Option("", help="Ask a TDS elsewhere instead of TDS_URL, for example https://tds.example"),
    key: str = typer.Option("", help="The key to ask it with; safer as TDS_API_KEY, which other accounts cannot see."),
    _version: bool = typer.Option(
        False, "--version", help="Show the version and stop.", callback=_show_version, is_eager=True
    ),
) -> None:
    """Keep an ERP database equal to a Zoho Books / Zoho Inventory organisation."""
    for variable, value in (("TDS_URL", url), ("TDS_API_KEY", key)):
        if value:
            os.environ[variable] = value


def main() -> None:
    """Run one command. A TdsError becomes its message and an exit code, without a traceback."""
    try:
        app()
    except TdsError as error:
        say_error(error)
        sys.exit(next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1))
    except Exception:  # a bug: the whole traceback, with control characters from outside escaped
        say(traceback.format_exc(), err=True)
        sys.exit(1)
