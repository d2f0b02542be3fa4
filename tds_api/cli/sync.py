"""`tds sync`: requests syncs of entities or of given records, and watches them."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tds_api.cli.common.output import entity_named, say, say_json, say_table, terminal
from tds_api.cli.common.sync_backend import SyncBackend, backend_of_settings
from tds_api.cli.runs import show_report, show_runs
from tds_core.errors import ConfigError
from tds_core.sync.run_queries import RunDetails
from tds_core.sync.run_requests import RecordOutcome
from tds_models.entities import ENTITIES
from tds_models.runs import Mode, RunState

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
    force: bool = typer.Option(False, "--force", help="Mode targeted: take what is read, whatever its time says."),
    wait: bool = typer.Option(False, "--wait", help="Watch until it has ended. Ctrl-C stops watching, not the sync."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Ask for a sync; the workers of a running TDS do it.

    With --wait the exit code is 0 when all came over; 1 when a run failed, was cancelled or is held for a decision, or
    when records were refused. What to do next is told on standard error.

    A dry run is always waited for: it ends with what a pass would change.
    """
    source_ids = [*(ids or ()), *(each.strip() for each in id_list.split(",") if each.strip())]
    _refuse_contradictions(entity, mode, source_ids, full=full, force=force)
    names = list(ENTITIES) if entity == "all" else [entity_named(entity).name]
    console = terminal(stderr=True, quiet=as_json)
    wait = wait or mode is SyncMode.DRY_RUN
    with backend_of_settings() as backend:
        if wait:
            backend.warn_of_silence(console)
        absent = backend.unconnected() if wait else ""
        run_rows = _runs(
            backend, names, mode, source_ids, full=full, force=force, wait=wait and not absent, console=console
        )
        records = backend.records(run_rows[0]) if source_ids else []
    if as_json:
        say_json(records or run_rows)
    else:
        _say(mode, run_rows, records)
    if not wait:
        return
    if absent:
        say(f"What was asked for waits until TDS is connected: {absent}", err=True)
        raise typer.Exit(1)
    for step in _steps(run_rows):
        say(step, err=True)
    if not all(map(_came_over, run_rows)) or not _all_good(run_rows, records):
        raise typer.Exit(1)


def _refuse_contradictions(entity: str, mode: SyncMode, source_ids: Sequence[str], *, full: bool, force: bool) -> None:
    if (mode is SyncMode.TARGETED) != bool(source_ids) or (source_ids and entity == "all"):
        raise ConfigError("Ids belong to --mode targeted with one entity: tds sync product --mode targeted --id 123")
    if full and mode is not SyncMode.DRY_RUN:
        raise ConfigError("--full says how a dry run reads; for a full pass: --mode full")
    if force and mode is not SyncMode.TARGETED:
        raise ConfigError("--force belongs to given records: tds sync product --mode targeted --id 123 --force")


def _say(mode: SyncMode, run_rows: Sequence[RunDetails], records: Sequence[RecordOutcome]) -> None:
    console = terminal()
    if mode is SyncMode.DRY_RUN:
        for run in run_rows:
            show_report(run, console)
        return
    show_runs(run_rows, console)
    if records:
        say_table("Records", ("record", "still owed", "outcome", "why", "error", "ended"),
                  [tuple(row.values()) for row in records], console=console)  # fmt: skip


def _goes_on(run: RunDetails) -> bool:
    """Whether a run is worth watching: one that waits for access may do so for ever."""
    return run["state"] in _OPEN and not run.get("refused")


def _came_over(run: RunDetails) -> bool:
    """Whether a run ended well and no record of it was refused; a dry run refuses none."""
    refused = any(run["outcomes"].get(each) for each in ("invalid", "unreadable"))
    return run["state"] == RunState.COMPLETED and (run["mode"] == Mode.DRY_RUN or not refused)


def _steps(run_rows: Sequence[RunDetails]) -> Iterator[str]:
    """The next steps for runs that did not bring everything over; a cause shared by several is printed once."""
    held_up = Counter(reason for run in run_rows if (reason := _held_up(run)))
    for reason, count in held_up.items():
        if count > 1:
            yield f"{count} passes go on by themselves once Zoho lets them: {reason}"
            yield "  See: tds zoho status"
    for run in run_rows:
        if held_up[_held_up(run)] < 2:
            yield from _next_steps(run)


def _held_up(run: RunDetails) -> str:
    """Why an open run waits for access; empty where it does not."""
    return run.get("refused") or "" if run["state"] in _OPEN else ""


def _next_steps(run: RunDetails) -> Iterator[str]:
    """The next steps for a run that did not bring everything over."""
    run_id, entity, mode = run["id"], run["entity"], run["mode"].replace("_", "-")
    if run["state"] == RunState.HELD:
        why = next((hold["reason"] for hold in run["holds"] if not hold["decision"]), "it waits for a decision")
        yield f"{entity}: run {run_id} is held: {why}"
        yield f"  See: tds runs show {run_id}    Go on: tds runs approve {run_id}    Leave it: tds runs reject {run_id}"
    elif run["state"] in _OPEN and run.get("refused"):
        yield f"{entity}: run {run_id} goes on by itself once Zoho lets it: {run['refused']}"
        yield "  See: tds zoho status"
    elif run["state"] != RunState.COMPLETED:
        yield f"{entity}: run {run_id} {run['state']}: {run['end_reason'] or 'no reason is known'}"
        yield f"  Ask again: tds sync {entity} --mode {mode} --wait    If it stays so: tds health"
    refused = run["outcomes"].get("invalid", 0) if run["mode"] != Mode.DRY_RUN else 0
    if refused:
        yield f"{entity}: {refused:,} records were refused; each is a dead letter that says why"
        yield f"  See: tds dead-letter list --entity {entity}"
    if run["outcomes"].get("unreadable"):
        yield f"{entity}: {run['outcomes']['unreadable']:,} rows of the list have no usable id"
        yield f"  See: tds findings --entity {entity}"
    if run["outcomes"].get("dead"):
        yield f"{entity}: {run['outcomes']['dead']:,} records were given up"
        yield f"  See: tds dead-letter list --entity {entity}"


def _all_good(run_rows: Sequence[RunDetails], records: Sequence[RecordOutcome]) -> bool:
    """Whether every record that was named came over; elsewhere only the counts are known."""
    if records:
        return all(row["outcome"] in _GOOD for row in records)
    return all(set(run["outcomes"]) <= _GOOD for run in run_rows if run["mode"] == SyncMode.TARGETED.value)


def _runs(
    backend: SyncBackend,
    names: Sequence[str],
    mode: SyncMode,
    ids: Sequence[str],
    *,
    full: bool,
    force: bool,
    wait: bool,
    console: Console,
) -> list[RunDetails]:
    run_ids = [backend.ask(name, mode.value.replace("-", "_"), ids, full=full, force=force) for name in names]
    if wait:
        _watch(backend, run_ids, console)
    return [backend.run(run_id) for run_id in run_ids]


def _watch(backend: SyncBackend, run_ids: Sequence[int], console: Console) -> None:
    columns = (
        SpinnerColumn(finished_text="✓"), TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("{task.fields[says]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        bars = {run_id: progress.add_task("", total=None, says="") for run_id in run_ids}
        while True:
            run_rows = [backend.run(run_id) for run_id in run_ids]
            for run in run_rows:
                # How many there will be is a guess from what the mirror knows; the end of the list decides.
                count, is_open = run["fetched_count"], run["state"] in _OPEN
                total = max(run["expected_count"] or 0, count) or None
                says = "may not be read" if run.get("refused") else run["end_reason"] or run["state"]
                progress.update(bars[int(run["id"])], description=run["entity"], completed=count,
                                total=total if is_open else count, says=says)  # fmt: skip
            if not any(_goes_on(run) for run in run_rows):
                return
            time.sleep(LOOK_SECONDS)
