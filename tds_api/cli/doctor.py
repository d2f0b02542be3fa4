"""`tds doctor`: looks at the whole set-up and says how to mend what is wrong."""

import dataclasses
import json

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tds_api.cli.checks import Finding, all_findings, python
from tds_core.config import load_settings
from tds_core.errors import ConfigError


def doctor(as_json: bool = typer.Option(False, "--json", help="For programs.")) -> None:
    """Check the set-up and say how to mend it; exit code 1 when something is wrong."""
    findings = _look()
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(each) for each in findings], indent=2))
    else:
        _show(findings)
    if not all(each.is_ok for each in findings):
        raise typer.Exit(1)


def _look() -> list[Finding]:
    try:
        settings = load_settings()
    except ConfigError as error:
        return [python(), Finding("Settings", False, "wrong", str(error))]
    return list(all_findings(settings))


def _show(findings: list[Finding]) -> None:
    table = Table("", "check", "found", header_style="bold", box=None)
    for each in findings:
        mark = "[green]OK[/]" if each.is_ok else "[bold red]problem[/]"
        mend = f"\n[yellow]{escape(each.mend)}[/]" if each.mend else ""
        table.add_row(mark, each.check, escape(each.says) + mend)
    Console().print(table)
