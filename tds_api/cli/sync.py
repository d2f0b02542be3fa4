"""`tds sync`: asks for passes over a stream or for given records, and watches them."""

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sqlalchemy import Engine

from tds_api.cli.database import database
from tds_api.cli.output import entity_named, say_json, say_table
from tds_api.cli.reports import show_report, show_runs
from tds_core.errors import ConfigError
from tds_core.reading import runs, targets
from tds_core.reading.health import DISPATCHER_SILENT_SECONDS, facts
from tds_core.sync.asking import ask
from tds_models.db import session_scope
from tds_models.entities import ENTITIES

LOOK_SECONDS = 0.2
_OPEN = ("queued", "running")
_GOOD = frozenset({"created", "updated", "unchanged", "stale", "deleted", "restored"})


class SyncMode(StrEnum):
    """What to read."""

    INCREMENTAL = "incremental"
    FULL = "full"
    TARGETED = "targeted"
    DRY_RUN = "dry-run"


def sync(  # noqa: PLR0917 (options, which are given by name)
    entity: str = typer.Argument(help="For example product; or all."),
    mode: Annotated[
        SyncMode, typer.Option(help="What changed, everything, the given records, or what a pass would change.")
    ] = SyncMode.INCREMENTAL,
    ids: Annotated[list[str] | None, typer.Option("--id", help="A record, mode targeted; may be repeated.")] = None,
    id_list: Annotated[str, typer.Option("--ids", help="Records, comma separated.")] = "",
    full: bool = typer.Option(False, "--full", help="Mode dry-run: read everything, not only what changed."),
    wait: bool = typer.Option(False, "--wait", help="Watch until it has ended. Ctrl-C stops watching, not the sync."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Ask for a sync; the workers of a running TDS do it. With --wait, exit code 1 means that some of it failed.

    A dry run is always waited for: it ends with what a pass would change.
    """
    given = [*(ids or ()), *(each.strip() for each in id_list.split(",") if each.strip())]
    if (mode is SyncMode.TARGETED) != bool(given) or (given and entity == "all"):
        raise ConfigError("Ids belong to --mode targeted with one entity: tds sync product --mode targeted --id 123")
    if full and mode is not SyncMode.DRY_RUN:
        raise ConfigError("--full says how a dry run reads; for a full pass: --mode full")
    names = list(ENTITIES) if entity == "all" else [entity_named(entity).name]
    console = Console(stderr=True, quiet=as_json)
    wait = wait or mode is SyncMode.DRY_RUN
    with database() as engine:
        if wait:
            _warn_of_silence(engine, console)
        found = _runs(engine, names, mode, given, full=full, wait=wait, console=console)
        records = _records(engine, found[0]) if given else []
    if as_json:
        say_json(records or found)
    else:
        _say(mode, found, records)
    if wait and (_failed(found) or any(row["outcome"] not in _GOOD for row in records)):
        raise typer.Exit(1)


def _say(mode: SyncMode, found: Sequence[dict[str, Any]], records: Sequence[dict[str, Any]]) -> None:
    console = Console()
    if mode is SyncMode.DRY_RUN:
        for run in found:
            show_report(run, console)
        return
    show_runs(found, console)
    if records:
        say_table("Records", ("record", "still owed", "outcome", "why", "error", "ended"),
                  [tuple(row.values()) for row in records], console=console)  # fmt: skip


def _failed(found: Sequence[dict[str, Any]]) -> bool:
    return any(run["state"] in ("failed", "cancelled", "held", "rejected") for run in found)


def _warn_of_silence(engine: Engine, console: Console) -> None:
    with session_scope(engine) as session:
        silent = facts(session)["dispatcher_silent_seconds"]
    if silent is None or silent > DISPATCHER_SILENT_SECONDS:
        console.print("[yellow]Nothing runs that could do this now; it waits until TDS is started: tds up[/]")


def _runs(
    engine: Engine,
    names: Sequence[str],
    mode: SyncMode,
    ids: Sequence[str],
    *,
    full: bool,
    wait: bool,
    console: Console,
) -> list[dict[str, Any]]:
    wanted_mode = mode.value.replace("-", "_")
    with session_scope(engine) as session:
        wanted = [
            ask(session, entity=name, mode=wanted_mode, ids=ids, full=full, requested_by="operator") for name in names
        ]
    if wait:
        _watch(engine, wanted, console)
    with session_scope(engine) as session:
        return [runs.run(session, run_id) for run_id in wanted]


def _records(engine: Engine, run: dict[str, Any]) -> list[dict[str, Any]]:
    """What became of the records of a targeted run."""
    with session_scope(engine) as session:
        return targets.outcomes_of(session, run["id"])


def _watch(engine: Engine, wanted: Sequence[int], console: Console) -> None:
    columns = (
        SpinnerColumn(finished_text="✓"), TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("{task.fields[says]}"),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        bars = {run_id: progress.add_task("", total=None, says="") for run_id in wanted}
        while True:
            with session_scope(engine) as session:
                found = [runs.run(session, run_id) for run_id in wanted]
            for run in found:
                # How many there will be is a guess from what the mirror knows; the end of the list decides.
                count, is_open = run["fetched_count"], run["state"] in _OPEN
                total = max(run["expected_count"] or 0, count) or None
                says = run["end_reason"] or run["state"]
                progress.update(bars[run["id"]], description=run["entity"], completed=count,
                                total=total if is_open else count, says=says)  # fmt: skip
            if not any(run["state"] in _OPEN for run in found):
                return
            time.sleep(LOOK_SECONDS)
