"""`tds health`: one score, the components behind it, and what to do about each."""

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.orm import Session

from tds_api.cli.breakers import quiet_breakers
from tds_api.cli.database import database
from tds_api.cli.output import say_json
from tds_core.breakers.breakers import BreakersAwayError
from tds_core.config import Settings, load_settings
from tds_core.errors import ConfigError
from tds_core.reading import readiness
from tds_core.reading.health import Component, Facts, State, components, facts, overall, score
from tds_models.db import session_scope

EXIT_CODES = {"ok": 0, "degraded": 1, "unhealthy": 5}
_COLOURS = {State.OK: "green", State.WARNING: "yellow", State.CRITICAL: "bold red"}


def health(
    as_json: bool = typer.Option(False, "--json", help="For programs."),
    only: str = typer.Option("", help="Judge by this component alone; for the health checks of containers."),
) -> None:
    """Show how TDS does: score, components, what to do. Exit code 0 ok, 1 degraded, 4 no database, 5 unhealthy."""
    settings = load_settings()
    with database(settings) as engine, session_scope(engine) as session:
        judged = [_schema(readiness.revision(session)), *components(_facts(session, settings))]
    judged[1:1] = [_redis(settings), _breakers(settings)]
    if only:
        judged = _chosen(judged, only)
    verdict = overall(judged)
    if as_json:
        say_json({"status": verdict, "score": score(judged), "components": judged})
    else:
        _show(verdict, judged)
    raise typer.Exit(EXIT_CODES[verdict])


def _facts(session: Session, settings: Settings) -> Facts:
    return facts(session, depth_warning=settings.depth_warning, depth_critical=settings.depth_critical)


def _chosen(judged: list[Component], name: str) -> list[Component]:
    chosen = [each for each in judged if each.name == name]
    if not chosen:
        raise ConfigError(f"There is no component {name[:80]!r}: {', '.join(each.name for each in judged)}.")
    return chosen


def _schema(found: str) -> Component:
    if readiness.is_migrated(found):
        return Component("database", State.OK, f"answers, revision {found}")
    return Component("database", State.CRITICAL, f"is at revision {found}, this version needs more", "Run: tds migrate")


def _redis(settings: Settings) -> Component:
    """Away it costs speed, not work: the database holds what is owed."""
    if not settings.redis_url:
        return Component("redis", State.WARNING, "is not configured here", "Set TDS_REDIS_URL, or run: tds up")
    if readiness.redis_answers(settings.redis_url):
        return Component("redis", State.OK, "answers")
    return Component("redis", State.WARNING, "does not answer; nothing is lost, but syncs wait", "See: tds doctor")


def _breakers(settings: Settings) -> Component:
    """What is left alone because it fails; without Redis each process knows only its own."""
    try:
        found = quiet_breakers(settings).states(of_all=True)
    except BreakersAwayError:
        return Component("breakers", State.OK, "are kept by each process alone")
    shut = [f"{each.name} {each.state}: {each.last_error}" for each in found if each.next_probe_at]
    if shut:
        return Component("breakers", State.WARNING, "; ".join(shut), "See: tds breakers")
    return Component("breakers", State.OK, "all are closed")


def _show(verdict: str, judged: list[Component]) -> None:
    table = Table("component", "state", "found", header_style="dim", box=None)
    for each in judged:
        mend = f"\n[yellow]{escape(each.mend)}[/]" if each.mend and each.state is not State.OK else ""
        table.add_row(each.name, f"[{_COLOURS[each.state]}]{each.state}[/]", escape(each.says) + mend)
    console = Console()
    console.print(f"[bold]{verdict}[/], score {score(judged)} of 100")
    console.print(table)
