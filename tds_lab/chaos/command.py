"""The command `tds chaos`."""

import contextlib
import json
from collections.abc import Sequence

import requests
import typer
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from tds_api.cli.common.output import say, say_table, terminal
from tds_api.cli.up import StopRequested, stop_signals
from tds_core import protection_switches
from tds_core.config.settings import Settings
from tds_core.errors import ProgramFailedError
from tds_core.observability.logging import configure_logging
from tds_core.protection_switches import Protection
from tds_lab.chaos.nemesis_registry import NEMESES, selected_nemeses
from tds_lab.chaos.report import VERDICT, is_well
from tds_lab.chaos.run import ChaosPlan, ChaosRun
from tds_lab.demo.stats import Figures
from tds_lab.testbed import free_port, running_environment, settings_of_demo
from tds_lab.zoho_stand_in import SIZES, StandInSpec, counts_of

# Outages here last seconds; breakers that open for a minute would make of each a minute of waiting.
BRISK = {
    "breaker_open_seconds": 2.0, "breaker_open_most_seconds": 10.0, "breaker_probe_seconds": 10.0,
    "http_timeout_seconds": 6.0,
}  # fmt: skip


def chaos(  # noqa: PLR0917 (every one is an option of the command)
    minutes: float = typer.Option(2.0, min=0.1, help="Minutes of edits under chaos."),
    seed: int = typer.Option(7, help="The same seed makes the same organisation, edits and order of nemeses."),
    rate: float = typer.Option(20.0, min=0.01, help="Edits a second in the stand-in."),
    pace: float = typer.Option(3.0, min=0.1, help="Seconds between two nemeses, about."),
    only: str = typer.Option("", help=f"Only these, comma separated: {', '.join(NEMESES)}."),
    skip: str = typer.Option("", help="All but these."),
    without: list[Protection] = typer.Option([], help="Take a protection away: it must be caught."),  # noqa: B008
    workers: int = typer.Option(-1, help="Worker processes instead of TDS_WORKERS."),
    size: str = typer.Option("small", help=f"How large the stand-in is: {', '.join(SIZES)}."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object at the end; what goes on is told on stderr."),
) -> None:
    """Run everything against a Zoho stand-in while all of it dies, freezes or forgets; then check every promise.

    Exit code 1: something was lost, done twice or went backwards, or the mirror differs from the stand-in.
    """
    names = selected_nemeses(only, skip)
    spec = StandInSpec(port=free_port(), counts=counts_of(size, []), seed=seed)
    settings = settings_of_demo(spec, workers=workers if workers >= 0 else None)
    settings = settings.replace("chaos", home=settings.home.parent / protection_switches.HOME, **BRISK)
    configure_logging(settings.replace("command line", log_format="console", log_level="ERROR"), process="chaos")
    console = terminal(stderr=True, highlight=False)
    plan = ChaosPlan(
        seconds=minutes * 60, rate=rate, seed=seed, names=names, pace_seconds=pace, without=[str(p) for p in without]
    )
    report = _run(settings, spec, plan, console)
    if report is None:
        raise typer.Exit(130)
    if as_json:
        say(json.dumps(report))
    else:
        show(report)
    if not is_well(report):
        raise typer.Exit(1)


def _run(settings: Settings, spec: StandInSpec, plan: ChaosPlan, console: Console) -> Figures | None:
    """The whole run; None when it was stopped."""
    extra_env = {protection_switches.VARIABLE: ",".join(plan.without)} if plan.without else {}

    def say(sentence: str) -> None:
        console.print(sentence, markup=False, soft_wrap=True)

    def step(name: str, seconds: float, detail: str) -> None:
        say(f"  {name:<14} {seconds:5.1f} s  {detail}")

    with (
        contextlib.suppress(StopRequested),
        stop_signals() as stops,
        running_environment(settings, spec, on_step=step, extra_env=extra_env) as environment,
    ):
        stops.append(environment.stack.processes.hurry)
        try:
            return ChaosRun(environment, plan, say).run()
        except (requests.RequestException, SQLAlchemyError) as error:
            kind, logs = type(error).__name__, settings.home / "logs"
            raise ProgramFailedError(
                f"The stand-in or the database went away for good ({kind}). See {logs}."
            ) from error
    return None


def show(report: Figures) -> None:
    """Print the run as a table, and what was broken."""
    console = terminal()
    say_table("What was done", ("nemesis", "times", "missed"), _nemesis_rows(report), console=console)
    recovery, latency = report["recovery_seconds"], report["latency_ms"]
    rows = [(name, report[name]) for name in ("edits", "events", "kills", "redis_wipes", "pg_restarts", "zoho_outages")]
    rows += [(name, report[name]) for name in VERDICT]
    rows += [
        (
            "recovery of orphans, s",
            f"p50 {recovery['p50']}, p99 {recovery['p99']}, longest {recovery['longest']} of {recovery['count']};"
            f" {recovery['left']} left, {recovery['released']} released before",
        ),
        ("event to row, ms", f"p50 {latency['p50']}, p95 {latency['p95']}"),
        ("until quiet, s", report["quiet_seconds"]),
    ]
    say_table(f"What became of it in {report['seconds']:.0f} s", ("", ""), rows, console=console)
    for violation in report["violations"]:
        console.print(f"{violation['promise']}, {violation['count']} times not: {violation['says']}", markup=False)
        for case in violation["examples"]:
            console.print(f"  {case}", markup=False, soft_wrap=True)
    for example in report["difference_examples"]:
        console.print(f"  {example}", markup=False, soft_wrap=True)


def _nemesis_rows(report: Figures) -> Sequence[tuple[str, int, int]]:
    return [(name, count, report["missed"].get(name, 0)) for name, count in report["acts"].items()]
