"""`tds doctor`: looks at the whole set-up and says how to mend what is wrong."""

import dataclasses

import typer
from rich.markup import escape

from tds_api.cli.breakers import quiet_breakers
from tds_api.cli.checking.everything import all_findings
from tds_api.cli.checking.finding import Finding, wrong
from tds_api.cli.checking.machine import python
from tds_api.cli.output import say_json, table_of, terminal
from tds_core.config import load_settings
from tds_core.errors import ConfigError
from tds_core.reading.health import State

_MARKS = {State.OK: "[green]ok[/]", State.WARNING: "[yellow]warning[/]", State.CRITICAL: "[bold red]problem[/]"}


def doctor(
    as_json: bool = typer.Option(False, "--json", help="For programs."),
    offline: bool = typer.Option(False, "--offline", help="Make no calls that count against Zoho's quota."),
) -> None:
    """Check the set-up and say how to mend it; exit code 1 when something is wrong, 0 when there are warnings only."""
    findings = _look(offline=offline)
    if as_json:
        say_json([{**dataclasses.asdict(each), "is_ok": each.is_ok} for each in findings])
    else:
        _show(findings)
    if any(each.state is State.CRITICAL for each in findings):
        raise typer.Exit(1)


def _look(*, offline: bool) -> list[Finding]:
    try:
        settings = load_settings()
    except ConfigError as error:
        return [python(), wrong("Settings", "wrong", str(error))]
    quiet_breakers(settings)  # what is checked must not write lines of log between those of the table
    return list(all_findings(settings, asks_zoho=not offline))


def _show(findings: list[Finding]) -> None:
    table = table_of("", "check", "found")
    for each in findings:
        mend = f"\n[yellow]{escape(each.mend)}[/]" if each.mend else ""
        table.add_row(_MARKS[each.state], each.check, escape(each.says) + mend)
    console = terminal()
    console.print(table)
    console.print("[dim]This was the set-up; how TDS does: tds health[/]")
