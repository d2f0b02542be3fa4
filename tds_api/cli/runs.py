"""`tds runs`: shows runs, their holds and dry-run reports; approves, rejects and cancels them."""

from collections.abc import Iterable, Mapping, Sequence
from getpass import getuser
from typing import Any

import typer
from rich.console import Console

from tds_api.cli.common.database import transaction
from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import cell, moment, say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.config.settings import load_settings
from tds_core.errors import ConfigError
from tds_core.mirror.status import DetailProgress, details_left, progress
from tds_core.sources.zoho.quota.governor import open_governor
from tds_core.sync import mass_change_guard
from tds_core.sync import run_queries as reading
from tds_core.sync.run_queries import HoldRow, RunDetails, RunRow
from tds_core.sync.runs import cancel as cancel_run
from tds_models.runs import RunState

_COLUMNS = ("run", "entity", "mode", "state", "by", "records", "changed", "calls", "began", "took, s", "ends", "why")
_CHANGE = ("record", "name", "field", "before", "after")
# What a dry run counts, in the words of what a pass would do.
_WOULD = {
    "created": "created", "updated": "updated", "restored": "restored", "unchanged": "unchanged", "stale": "stale",
    "look_again": "would be read to be sure", "invalid": "invalid", "to_read": "details would be read",
    "absent": "absent, would be asked for", "other_kind": "of another kind, left out",
}  # fmt: skip


def show_runs(found: Sequence[RunRow], console: Console) -> None:
    """Print a table of runs."""
    rows = [
        (
            run["id"], run["entity"], run["mode"], run["state"], run["requested_by"], _records(run),
            run["changed_count"], run["api_call_count"], run["started_at"], run["duration_seconds"], run["ends_at"],
            _why(run),
        )
        for run in found
    ]  # fmt: skip
    say_table("Runs", _COLUMNS, rows, console=console)


def _records(run: RunRow) -> str:
    expected = f" of {run['expected_count']:,}" if run["expected_count"] else ""
    return f"{run['fetched_count']:,}{expected}"


def _why(run: RunRow) -> str | None:
    if run["behind_id"]:
        return f"waits for run {run['behind_id']}"
    outcomes = ", ".join(f"{name} {count:,}" for name, count in run["outcomes"].items() if count)
    return outcomes if run["state"] == RunState.COMPLETED else run["end_reason"] or outcomes


def show_details(ahead: Iterable[DetailProgress], console: Console) -> None:
    """Print, for each API, how many details are still to be read, and on which day the quota lets the last be read."""
    for each in ahead:
        left = ", ".join(f"{name} {count:,}" for name, count in each["left"].items())
        sentence = f"{each['api']}: known by their list rows alone: {left}; {each['call_count']:,} calls"
        if each["calls_today"] is not None:
            sentence += f", of which today's quota allows {min(each['call_count'], each['calls_today']):,}"
        if each["ends_at"] is not None:
            sentence += f"; all read {moment(each['ends_at'])} at the earliest"
        console.print(sentence, markup=False, soft_wrap=True)


def show_hold(hold: HoldRow, console: Console) -> None:
    """Print why a run was held, the decision, and examples of the records concerned."""
    decided = f"{hold['decision']} by {hold['decided_by']}" if hold["decision"] else "waits for a decision"
    console.print(f"\nHeld {cell(hold['held_at'])}, {decided}: {hold['reason']}", markup=False, soft_wrap=True)
    examples, many = hold["preview"]["examples"], f"{hold['record_count']:,}"
    if hold["kind"] == "deletion":
        _show_names(
            f"Would be asked for, and deleted here if Zoho has no such record; some of {many}", examples, console
        )
        console.print(
            "If Zoho's list was whole, they were deleted there, or are of another organisation: tds doctor",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    else:
        show_changes(f"Changes of the page it stopped at; some of {many}", examples, console)


def show_report(run: RunDetails, console: Console) -> None:
    """Print the report of a dry run."""
    counts = [f"{_WOULD[name]} {count:,}" for name, count in run["outcomes"].items() if count and name in _WOULD]
    console.print(
        f"Dry run {run['id']} of {run['entity']}, {run['state']}: {', '.join(counts) or 'nothing found'}; "
        f"{run['api_call_count']:,} calls. Nothing was changed.",
        markup=False,
        soft_wrap=True,
    )
    report = run["report"] or {}
    for kind, title in (("created", "Would be created"), ("absent", "Absent, would be asked for")):
        if report.get(kind):
            _show_names(f"{title}{_some(report[kind], run['outcomes'].get(kind, 0))}", report[kind], console)
    if report.get("updated"):
        total = sum(run["outcomes"].get(each, 0) for each in ("updated", "restored"))
        show_changes(f"Would be updated{_some(report['updated'], total)}", report["updated"], console)


def _some(shown: Sequence[Any], total: int) -> str:
    return f", {len(shown):,} of {total:,}" if len(shown) < total else ""


def _show_names(title: str, examples: Iterable[Mapping[str, Any]], console: Console) -> None:
    say_table(title, _CHANGE[:2], [(each["source_id"], each["name"]) for each in examples], console=console)


def show_changes(title: str, examples: Iterable[Mapping[str, Any]], console: Console) -> None:
    """Print a table of changed fields with their values in the mirror and in the source."""
    rows = [
        (each["source_id"], each["name"], field, _brief(before), _brief(after))
        for each in examples
        for field, (before, after) in each["changes"].items()
    ]
    say_table(title, _CHANGE, rows, console=console)


def _brief(value: Any) -> Any:
    return f"{len(value)} lines" if isinstance(value, list) else value


runs = typer.Typer(help="Show runs; decide about those that are held.")

_AS_JSON = typer.Option(False, "--json", help="For programs.")
_ID = typer.Argument(help="A run, see: tds runs", metavar="ID")


@runs.callback(invoke_without_command=True)
def overview(
    context: typer.Context,
    state: str = typer.Option("", help="Only those, for example held."),
    entity: str = typer.Option("", help="Only those of this entity."),
    as_json: bool = _AS_JSON,
) -> None:
    """Show the latest runs."""
    if context.invoked_subcommand is None:
        _list(state, entity, 20, as_json)


@runs.command("list")
def listed(
    state: str = typer.Option("", help="Only those, for example held."),
    entity: str = typer.Option("", help="Only those of this entity."),
    limit: int = typer.Option(20, min=1, max=500, help="So many."),
    as_json: bool = _AS_JSON,
) -> None:
    """Show the latest runs, the newest first."""
    _list(state, entity, limit, as_json)


def _list(state: str, entity: str, limit: int, as_json: bool) -> None:
    if state and state not in list(RunState):
        raise ConfigError(f"There is no state {state[:80]!r}: {', '.join(RunState)}.")
    api, left = remote(), None
    if api:
        run_rows = api.page("/runs", limit=limit, state=state, entity=entity)
    else:
        with transaction() as session:
            run_rows = reading.runs(session, limit=limit, state=state or None, entity=entity or None).items
            left = details_left(session)
    if as_json:
        say_json(run_rows)
        return
    console = terminal()
    show_runs(run_rows, console)
    if left is not None:
        show_details(progress(left, open_governor(load_settings())), console)
    for run in run_rows:
        if run["state"] == RunState.HELD:
            console.print(f"Run {run['id']} waits for a decision: tds runs show {run['id']}", soft_wrap=True)


@runs.command()
def show(run_id: int = _ID, as_json: bool = _AS_JSON) -> None:
    """Show one run: how far it is, what held it with examples, what a dry run found."""
    if api := remote():
        run = api.get(f"/runs/{run_id}")
    else:
        with transaction() as session:
            run = reading.run(session, run_id)
    if as_json:
        say_json(run)
        return
    console = terminal()
    show_runs([run], console)
    for hold in run["holds"]:
        show_hold(hold, console)
    if run["report"] is not None:
        show_report(run, console)
    if run["state"] == RunState.HELD:
        console.print(f"\nGo on: tds runs approve {run_id}    Leave it: tds runs reject {run_id}", soft_wrap=True)


@runs.command()
def approve(
    run_id: int = _ID,
    up_to: int = typer.Option(0, min=0, help="Records it may come to; without it, twice what it was held for."),
) -> None:
    """Let a held run go on where it stopped; beyond what is approved it is held again."""
    if api := remote():
        run = api.post(f"/runs/{run_id}/approve", {"up_to": up_to} if up_to else {})
        hold = run["holds"][0]
        held_count, approved_count = int(hold["record_count"]), int(hold["approved_count"])
    else:
        with acting("runs.approve", run_id, detail={"up_to": up_to or None}) as session:
            held_count = next((int(hold["record_count"]) for hold in reading.run(session, run_id)["holds"]), 0)
            approved_count = mass_change_guard.approve(session, run_id, by=getuser(), up_to=up_to or None)
    say(
        f"Run {run_id}, held for {held_count:,} records, goes on;"
        f" it is held again if it comes to more than {approved_count:,}."
        f" Watch it: tds runs show {run_id}"
    )


@runs.command()
def reject(run_id: int = _ID) -> None:
    """End a held run; what it wrote before stays, and it changes nothing more."""
    if api := remote():
        api.post(f"/runs/{run_id}/reject")
    else:
        with acting("runs.reject", run_id) as session:
            reading.run(session, run_id)
            mass_change_guard.reject(session, run_id, by=getuser())
    say(f"Run {run_id} is rejected; it changes nothing more.")


@runs.command()
def cancel(run_id: int = _ID) -> None:
    """Stop a run before its next page; records a targeted run asked for are still read."""
    if api := remote():
        before = api.get(f"/runs/{run_id}")["ended_at"]
        api.post(f"/runs/{run_id}/cancel")
        stopped = before is None
    else:
        with acting("runs.cancel", run_id) as session:
            reading.run(session, run_id)
            stopped = cancel_run(session, run_id, by=getuser())
    say(f"Run {run_id} stops before its next page." if stopped else f"Run {run_id} had ended already.")
