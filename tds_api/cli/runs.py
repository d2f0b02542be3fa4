"""`tds runs`: passes seen, and those that are held approved or rejected."""

from getpass import getuser

import typer

from tds_api.cli.acting import acting
from tds_api.cli.database import transaction
from tds_api.cli.output import say, say_json, terminal
from tds_api.cli.remote import remote
from tds_api.cli.reports import show_details, show_hold, show_report, show_runs
from tds_core.config import load_settings
from tds_core.errors import ConfigError
from tds_core.reading import runs as reading
from tds_core.reading.details import details_left, progress
from tds_core.sources.zoho.quota.setup import open_governor
from tds_core.sync import holds
from tds_core.sync.runs import cancel as cancel_run
from tds_models.runs import RunState

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
    there, left = remote(), None
    if there:
        found = there.page("/runs", limit=limit, state=state, entity=entity)
    else:
        with transaction() as session:
            found = reading.runs(session, limit=limit, state=state or None, entity=entity or None).items
            left = details_left(session)
    if as_json:
        say_json(found)
        return
    console = terminal()
    show_runs(found, console)
    if left is not None:
        show_details(progress(left, open_governor(load_settings())), console)
    for run in found:
        if run["state"] == RunState.HELD:
            console.print(f"Run {run['id']} waits for a decision: tds runs show {run['id']}", soft_wrap=True)


@runs.command()
def show(run_id: int = _ID, as_json: bool = _AS_JSON) -> None:
    """Show one run: how far it is, what held it with examples, what a dry run found."""
    if there := remote():
        found = there.get(f"/runs/{run_id}")
    else:
        with transaction() as session:
            found = reading.run(session, run_id)
    if as_json:
        say_json(found)
        return
    console = terminal()
    show_runs([found], console)
    for hold in found["holds"]:
        show_hold(hold, console)
    if found["report"] is not None:
        show_report(found, console)
    if found["state"] == RunState.HELD:
        console.print(f"\nGo on: tds runs approve {run_id}    Leave it: tds runs reject {run_id}", soft_wrap=True)


@runs.command()
def approve(
    run_id: int = _ID,
    up_to: int = typer.Option(0, min=0, help="Records it may come to; without it, twice what it was held for."),
) -> None:
    """Let a held run go on where it stopped; beyond what is approved it is held again."""
    if there := remote():
        found = there.post(f"/runs/{run_id}/approve", {"up_to": up_to} if up_to else {})
        hold = found["holds"][0]
        held, approved = int(hold["record_count"]), int(hold["approved_count"])
    else:
        with acting("runs.approve", run_id, detail={"up_to": up_to or None}) as session:
            held = next((int(hold["record_count"]) for hold in reading.run(session, run_id)["holds"]), 0)
            approved = holds.approve(session, run_id, by=getuser(), up_to=up_to or None)
    say(
        f"Run {run_id}, held for {held:,} records, goes on; it is held again if it comes to more than {approved:,}."
        f" Watch it: tds runs show {run_id}"
    )


@runs.command()
def reject(run_id: int = _ID) -> None:
    """End a held run; what it wrote before stays, and it changes nothing more."""
    if there := remote():
        there.post(f"/runs/{run_id}/reject")
    else:
        with acting("runs.reject", run_id) as session:
            reading.run(session, run_id)
            holds.reject(session, run_id, by=getuser())
    say(f"Run {run_id} is rejected; it changes nothing more.")


@runs.command()
def cancel(run_id: int = _ID) -> None:
    """Stop a run before its next page; records a targeted run asked for are still read."""
    if there := remote():
        before = there.get(f"/runs/{run_id}")["ended_at"]
        there.post(f"/runs/{run_id}/cancel")
        stopped = before is None
    else:
        with acting("runs.cancel", run_id) as session:
            reading.run(session, run_id)
            stopped = cancel_run(session, run_id, by=getuser())
    say(f"Run {run_id} stops before its next page." if stopped else f"Run {run_id} had ended already.")
