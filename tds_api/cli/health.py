"""`tds health`: shows the health score, the components behind it, and what to do about each."""

import typer
from rich.markup import escape

from tds_api.cli.breakers import quiet_breakers
from tds_api.cli.common.database import database
from tds_api.cli.common.output import say_json, table_of, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.config.settings import load_settings
from tds_core.configuration.disabled_protections import SwitchedOff, switched_off
from tds_core.errors import ConfigError
from tds_core.health.health import ComponentStatus, HealthState, overall, score
from tds_core.health.infrastructure import evaluate, infrastructure_health
from tds_models.db import session_scope

EXIT_CODES = {"ok": 0, "degraded": 1, "unhealthy": 5}
_COLOURS = {HealthState.OK: "green", HealthState.WARNING: "yellow", HealthState.CRITICAL: "bold red"}


def health(
    as_json: bool = typer.Option(False, "--json", help="For programs."),
    only: str = typer.Option("", help="Judge by this component alone; for the health checks of containers."),
) -> None:
    """Show how TDS does: score, components, what to do. Exit code 0 ok, 1 degraded, 4 no database, 5 unhealthy."""
    if api := remote():
        report = api.get("/health/complete")
        components = [_component(each) for each in report["components"]]
        switches = [SwitchedOff(**each) for each in report.get("switched_off", ())]
    else:
        settings = load_settings()
        with database(settings) as engine, session_scope(engine) as session:
            seen = infrastructure_health(session, settings)
        components, switches = evaluate(seen, settings, quiet_breakers(settings)), switched_off(settings)
    if only:
        components = _component_named(components, only)
    verdict = overall(components)
    if as_json:
        say_json({"status": verdict, "score": score(components), "components": components, "switched_off": switches})
    else:
        _show(verdict, components, switches)
    raise typer.Exit(EXIT_CODES[verdict])


def _component(row: dict[str, str]) -> ComponentStatus:
    return ComponentStatus(row["name"], HealthState(row["state"]), row["says"], row["mend"])


def _component_named(components: list[ComponentStatus], name: str) -> list[ComponentStatus]:
    matching = [each for each in components if each.name == name]
    if not matching:
        raise ConfigError(f"There is no component {name[:80]!r}: {', '.join(each.name for each in components)}.")
    return matching


def _show(verdict: str, components: list[ComponentStatus], switches: list[SwitchedOff]) -> None:
    table = table_of("component", "state", "found")
    for each in components:
        mend = f"\n[yellow]{escape(each.mend)}[/]" if each.mend and each.state is not HealthState.OK else ""
        table.add_row(each.name, f"[{_COLOURS[each.state]}]{each.state}[/]", escape(each.says) + mend)
    console = terminal()
    for switch in switches:
        console.print(f"[bold white on red] {escape(switch.says.upper())} [/]")
    console.print(f"[bold]{verdict}[/], score {score(components)} of 100")
    console.print(table)
