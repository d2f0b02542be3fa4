"""`python -m tds_lab.migration_rehearsal`: rehearses the four weeks, and keeps a report of them."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tds_api.cli.common.output import say
from tds_core.observability.logging import configure_logging
from tds_lab.demo import phases
from tds_lab.migration_rehearsal.report import sentence, write_report
from tds_lab.migration_rehearsal.site import StackSite
from tds_lab.migration_rehearsal.weeks import RehearsalPlan, rehearse
from tds_lab.testbed import free_port, running_environment, settings_of_demo
from tds_lab.zoho_stand_in import SIZES, StandInSpec, counts_of


def main(
    report: Annotated[Path, typer.Option(help="The folder of the report.")] = Path("build/migration-rehearsal"),
    size: Annotated[str, typer.Option(help=f"How large the stand-in is: {', '.join(SIZES)}.")] = "small",
    days: Annotated[int, typer.Option(min=16, max=60, help="Days, of which the last quarter is after promotion.")] = 28,
    edits: Annotated[int, typer.Option(min=1, max=10_000, help="Edits in Zoho a day.")] = 20,
    seed: Annotated[int, typer.Option(help="The same seed makes the same organisation and the same faults.")] = 7,
) -> None:
    """Rehearse the migration from an old cron job. Ends with 1 when it did not end well."""
    spec = StandInSpec(port=free_port(), counts=counts_of(size, []), seed=seed)
    settings = settings_of_demo(spec, workers=None)
    settings = settings.replace("rehearsal", home=settings.home.parent / "rehearsal")
    configure_logging(settings.replace("command line", log_level="ERROR"), process="demo")
    plan = RehearsalPlan(first_day=datetime.now(UTC).date(), day_count=days, promotion_day=days * 3 // 4 + 1, seed=seed)
    say("Starting TDS with the stand-in, and loading everything ...")
    with running_environment(settings, spec, on_step=lambda *_: None) as environment:
        phases.load(environment, lambda *_: None)
        site = StackSite(environment, edits_per_day=edits, seed=seed)
        found = rehearse(site, plan, on_day=lambda line: say(sentence(line)))
    paths = write_report(dataclasses.replace(found), report)
    say(f"{'; '.join(found.problems) or 'It ended well'}. The report: {paths[1]}, {paths[0]}")
    raise typer.Exit(1 if found.problems else 0)


if __name__ == "__main__":
    typer.run(main)
