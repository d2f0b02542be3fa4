"""`tds queue`: shows the work of each entity, and pauses or resumes it; webhooks are accepted all the while."""

from collections.abc import Mapping
from getpass import getuser
from typing import Any

import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import entity_named, say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.queue import pauses, queries

queue = typer.Typer(help="Show the queue by entity; let the work of an entity, or of all, wait and go on.")

_ENTITY = typer.Argument("", help="Of this entity; all without one.")
_COLUMNS = ("entity", "due", "waiting", "in hand", "oldest due", "paused", "by", "why")


@queue.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: bool = typer.Option(False, "--json", help="For programs.")) -> None:
    """Show how much work each entity has, and whether it is paused."""
    if context.invoked_subcommand:
        return
    if api := remote():
        stats, paused = api.get("/queue/stats"), api.get("/queue/pauses")
    else:
        with transaction() as session:
            stats, paused = queries.queue_stats(session), pauses.pauses(session)
    if as_json:
        say_json({"stats": stats, "pauses": paused})
        return
    say_table("Queue", _COLUMNS, _rows(stats, {each["entity"]: each for each in paused}), console=terminal())


@queue.command()
def pause(entity: str = _ENTITY, reason: str = typer.Option("", help="Why, for whoever wonders.")) -> None:
    """Let work wait until it is resumed. What is in workers' hands is done; webhooks are taken as ever."""
    name, why = _name(entity), reason or None
    if api := remote():
        paused = api.post("/queue/pause", {"entity": name, "reason": why})
    else:
        with acting("queue.pause", name or "all", detail={"reason": why}) as session:
            paused = pauses.pause(session, name, by=getuser(), reason=why)
    _say(paused)


@queue.command()
def resume(entity: str = _ENTITY) -> None:
    """Let work go on; workers hear of it within a second."""
    name = _name(entity)
    if api := remote():
        paused = api.post("/queue/resume", {"entity": name})
    else:
        with acting("queue.resume", name or "all") as session:
            paused = pauses.resume(session, name)
    _say(paused)


def _name(entity: str) -> str | None:
    return entity_named(entity).name if entity else None


def _say(paused: list[pauses.QueuePause]) -> None:
    if not paused:
        say("No work is paused.")
        return
    say(f"Paused: {', '.join(each['entity'] for each in paused)}. Let it go on with: tds queue resume")


def _rows(stats: list[queries.EntityQueueStats], paused: dict[str, pauses.QueuePause]) -> list[tuple[Any, ...]]:
    counted = {each["entity"]: each for each in stats}
    rows = []
    for entity in sorted(counted.keys() | paused.keys()):
        row: Mapping[str, Any] = counted.get(entity, {})
        pause: Mapping[str, Any] = paused.get(entity, {})
        counts = [row.get(f"{state}_count", 0) for state in ("due", "waiting", "leased")]
        oldest = f"{row.get('oldest_due_seconds', 0.0):.0f} s"
        rows.append((entity, *counts, oldest, pause.get("paused_at"), pause.get("paused_by"), pause.get("reason")))
    return rows
