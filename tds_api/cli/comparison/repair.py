"""The repair of `tds compare --repair`: shows the plan with its price, asks, requests it and watches its runs."""

import typer
from rich.console import Console

from tds_api.cli.common.output import say
from tds_api.cli.comparison.backend import ComparisonBackend, RepairPrice
from tds_api.cli.comparison.views import show_plan
from tds_api.cli.comparison.watch import watch_runs
from tds_core.comparison.queries import ComparisonStatus


def repair(
    backend: ComparisonBackend,
    status: ComparisonStatus,
    *,
    entity: str,
    include_asked: bool,
    yes: bool,
    console: Console,
) -> tuple[RepairPrice, str]:
    """Repair the confirmed differences of a comparison. Returns the plan, with runs if it was requested, and what is
    still waited for; "" if all records were read.
    """
    plan = backend.repair(status["id"], entity=entity, include_asked=include_asked, dry_run=True)
    show_plan(plan, console)
    _say_left_alone(plan)
    if not plan["record_count"]:
        say("Nothing is left to repair.", err=True)
        return plan, ""
    if not yes and not typer.confirm("Repair?", err=True):
        say(f"Nothing was done. Go on: tds compare --show {status['id']} --repair", err=True)
        return plan, ""
    plan = backend.repair(status["id"], entity=entity, include_asked=include_asked, dry_run=False)
    try:
        _, waits = watch_runs(backend, [int(run_id) for run_id in plan["run_ids"]], console)
    except KeyboardInterrupt:
        waits = "you stopped watching"
    return plan, waits


def _say_left_alone(plan: RepairPrice) -> None:
    kept, asked = (sum(part[key] for part in plan["parts"]) for key in ("kept_count", "asked_count"))
    if kept:
        say(f"{kept:,} are left as they are, as TDS_REPAIR_POLICIES says (keep).", err=True)
    if asked:
        say(f"{asked:,} are left until you ask for them (TDS_REPAIR_POLICIES: ask): add --include-asked", err=True)
