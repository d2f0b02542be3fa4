"""`tds sync`: asks for passes over a stream or for given records, and watches them."""

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from sqlalchemy import Engine

from tds_api.cli.database import database
from tds_api.cli.output import entity_named, say_json, say_table
from tds_core.errors import ConfigError
from tds_core.reading import targets, work
from tds_core.reading.health import DISPATCHER_SILENT_SECONDS, facts
from tds_core.sync.queue import enqueue
from tds_core.sync.runs import request_run
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


def sync(
    entity: str = typer.Argument(help="For example product; or all."),
    mode: Annotated[SyncMode, typer.Option(help="What changed, everything, or the given records.")] = (
        SyncMode.INCREMENTAL
    ),
    ids: Annotated[list[str] | None, typer.Option("--id", help="A record, mode targeted; may be repeated.")] = None,
    wait: bool = typer.Option(False, "--wait", help="Watch until it has ended. Ctrl-C stops watching, not the sync."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Ask for a sync; the workers of a running TDS do it. With --wait, exit code 1 means that some of it failed."""
    if (mode is SyncMode.TARGETED) != bool(ids) or (ids and entity == "all"):
        raise ConfigError("--id belongs to --mode targeted with one entity: tds sync product --mode targeted --id 123")
    names = list(ENTITIES) if entity == "all" else [entity_named(entity).name]
    console = Console(stderr=True, quiet=as_json)
    with database() as engine:
        if wait:
            _warn_of_silence(engine, console)
        if ids:
            found, failed = _targeted(engine, names[0], ids, wait=wait, console=console)
        else:
            found, failed = _runs(engine, names, mode, wait=wait, console=console)
    if as_json:
        say_json(found)
    elif ids:
        say_table("Records", ("record", "still owed", "outcome", "why", "error", "ended"),
                  [tuple(row.values()) for row in found], console=Console())  # fmt: skip
    else:
        _show_runs(found)
    if failed:
        raise typer.Exit(1)


def _warn_of_silence(engine: Engine, console: Console) -> None:
    with session_scope(engine) as session:
        silent = facts(session)["dispatcher_silent_seconds"]
    if silent is None or silent > DISPATCHER_SILENT_SECONDS:
        console.print("[yellow]Nothing runs that could do this now; it waits until TDS is started: tds up[/]")


def _targeted(
    engine: Engine, entity: str, ids: Sequence[str], *, wait: bool, console: Console
) -> tuple[list[dict[str, Any]], bool]:
    source = ENTITIES[entity].stream.source
    with session_scope(engine) as session:
        mark = targets.attempts_mark(session)
        enqueue(session, entity=entity, source_ids=ids, origin="operator", correlation_id=str(uuid4()))
    with console.status(f"Reading {len(ids)} records"):
        while True:
            with session_scope(engine) as session:
                found = targets.outcomes(session, source=source, entity=entity, source_ids=ids, after=mark)
            if not wait or not any(row["is_owed"] for row in found):
                break
            time.sleep(LOOK_SECONDS)
    return found, wait and any(row["outcome"] not in _GOOD for row in found)


def _runs(
    engine: Engine, names: Sequence[str], mode: SyncMode, *, wait: bool, console: Console
) -> tuple[list[dict[str, Any]], bool]:
    with session_scope(engine) as session:
        wanted = [request_run(session, entity=name, mode=mode.value, requested_by="operator") for name in names]
    if wait:
        _watch(engine, wanted, console)
    with session_scope(engine) as session:
        found = [work.run(session, run_id) for run_id in wanted]
    return found, any(run["state"] in ("failed", "cancelled") for run in found)


def _watch(engine: Engine, wanted: Sequence[int], console: Console) -> None:
    columns = (
        SpinnerColumn(finished_text="✓"), TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("{task.fields[says]}"),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        bars = {run_id: progress.add_task("", total=None, says="") for run_id in wanted}
        while True:
            with session_scope(engine) as session:
                found = [work.run(session, run_id) for run_id in wanted]
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


def _show_runs(found: Sequence[dict[str, Any]]) -> None:
    columns = ("run", "entity", "mode", "state", "fetched", "calls", "outcomes", "why")
    rows = [
        (
            run["id"], run["entity"], run["mode"], run["state"], run["fetched_count"], run["api_call_count"],
            ", ".join(f"{name} {count}" for name, count in run["outcomes"].items()), run["end_reason"],
        )
        for run in found
    ]  # fmt: skip
    say_table("Runs", columns, rows, console=Console())
