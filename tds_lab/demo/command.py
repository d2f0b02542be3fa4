"""The command `tds demo`."""

import contextlib
import json

import requests
import typer
from sqlalchemy.exc import SQLAlchemyError

from tds_api.cli.common.output import say, terminal
from tds_api.cli.up import StopRequested, stop_signals
from tds_core.config.settings import Settings
from tds_core.errors import ProgramFailedError
from tds_core.observability.logging import configure_logging
from tds_lab.demo import output
from tds_lab.demo.output import LineDisplay, NullDisplay
from tds_lab.demo.run import DemoRun, Display, RunPlan
from tds_lab.demo.stats import Figures
from tds_lab.demo.terminal import Screen
from tds_lab.testbed import free_port, running_environment, settings_of_demo
from tds_lab.zoho_stand_in import SIZES, StandInSpec, counts_of, expected_counts


def demo(  # noqa: PLR0917 (every one is an option of the command)
    seconds: float = typer.Option(0.0, "--for", min=0.0, help="Seconds of edits; unset: until Ctrl-C."),
    rate: float = typer.Option(10.0, min=0.01, help="Edits a second in the stand-in."),
    as_json: bool = typer.Option(False, "--json", help="Show nothing, print one JSON object at the end."),
    drop: float = typer.Option(0.0, min=0.0, max=1.0, help="Share of webhooks that are never sent."),
    seed: int = typer.Option(7, help="The same seed makes the same organisation and the same edits."),
    workers: int = typer.Option(-1, help="Worker processes instead of TDS_WORKERS."),
    size: str = typer.Option("usual", help=f"How large the stand-in is: {', '.join(SIZES)}."),
    records: list[str] = typer.Option([], metavar="NAME=COUNT", help="Another count than the size's: orders=900."),  # noqa: B008
) -> None:
    """Run everything against a Zoho stand-in that is edited all the time, and watch both sides agree.

    Exit code 1: a record differs, an event has no verdict, or a delivery is not accounted for.
    """
    counts = counts_of(size, records)
    spec = StandInSpec(port=free_port(), counts=counts, seed=seed)
    settings = settings_of_demo(spec, workers=workers if workers >= 0 else None)
    configure_logging(settings.replace("command line", log_format="console", log_level="ERROR"), process="demo")
    display = _display(as_json)
    display.opening(output.opening(counts))
    report = _run(settings, spec, display, RunPlan(rate=rate, seed=seed, drop=drop, seconds=seconds or None))
    if report is None:
        raise typer.Exit(130)
    if as_json:
        say(json.dumps(report))
    if report["problems"]:
        raise typer.Exit(1)


def _run(settings: Settings, spec: StandInSpec, display: Display, plan: RunPlan) -> Figures | None:
    """The report; None when it was stopped before its end. The first Ctrl-C ends the edits, the second the run."""
    report = None
    with (
        contextlib.suppress(StopRequested),
        stop_signals() as stops,
        contextlib.closing(display),
        running_environment(settings, spec, on_step=display.step) as environment,
    ):

        def give_up() -> None:
            """Stop waiting; further signals end the programs at once."""
            stops[:] = [environment.stack.processes.hurry]
            raise StopRequested

        stops.append(give_up)
        report = _run_demo(DemoRun(environment, display, plan, expected=expected_counts(spec.counts)), settings)
        stops[:] = [environment.stack.processes.hurry]
    return report


def _run_demo(demo_run: DemoRun, settings: Settings) -> Figures:
    """The report. Raises ProgramFailedError when the stand-in or the database stays away."""
    try:
        return demo_run.run()
    except (requests.RequestException, SQLAlchemyError) as error:
        kind, logs = type(error).__name__, settings.home / "logs"
        raise ProgramFailedError(f"The stand-in or the database stopped answering ({kind}). See {logs}.") from error


def _display(as_json: bool) -> Display:
    if as_json:
        return NullDisplay()
    console = terminal()
    return Screen() if console.is_terminal and not console.is_dumb_terminal else LineDisplay()
