"""`tds acceptance`: shows the scorecard of acceptance, each requirement with its evidence."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import typer
from rich.markup import escape

from tds_api.cli.common.database import database
from tds_api.cli.common.output import say_json, table_of, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.config.settings import load_settings
from tds_core.statistics.acceptance_facts import scorecard
from tds_core.statistics.acceptance_scorecard import Verdict
from tds_models.db import session_scope

EXIT_CODES = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.NOT_PROVEN: 3}
_COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.NOT_PROVEN: "yellow"}
_CLOSING = {
    Verdict.PASS: "This installation passes: every requirement has held.",
    Verdict.FAIL: "This installation does not pass.",
    Verdict.NOT_PROVEN: "Nothing speaks against this installation, and not everything is proven yet.",
}


def acceptance(as_json: bool = typer.Option(False, "--json", help="For programs.")) -> None:
    """Show whether TDS is ready for production. Exit code 0 pass, 1 fail, 3 not proven yet."""
    card = _scorecard()
    if as_json:
        say_json(card)
    else:
        _show(card)
    raise typer.Exit(EXIT_CODES[Verdict(card["verdict"])])


def _scorecard() -> Mapping[str, Any]:
    if api := remote():
        found: Mapping[str, Any] = api.get("/statistics/acceptance")
        return found
    settings = load_settings()
    with database(settings) as engine, session_scope(engine) as session:
        card = scorecard(session, zone=settings.time_zone)
    shown: Mapping[str, Any] = msgspec.to_builtins(card, builtin_types=(datetime, Decimal))
    return shown


def _show(card: Mapping[str, Any]) -> None:
    table = table_of("requirement", "verdict", "evidence")
    for line in card["lines"]:
        verdict = Verdict(line["verdict"])
        mend = f"\n[yellow]{escape(line['mend'])}[/]" if line["mend"] else ""
        objective = f"{escape(line['name'])}\n[dim]{escape(line['objective'])}[/]"
        shown = verdict.value.replace("_", " ")
        table.add_row(objective, f"[{_COLOURS[verdict]}]{shown}[/]", escape(line["says"]) + mend)
    console = terminal()
    console.print(table)
    console.print(_CLOSING[Verdict(card["verdict"])])
