"""`tds up`: runs all of TDS on this machine until a signal; `tds sandbox` runs the Zoho stand-in."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from types import FrameType

import typer
from rich.console import Console

from tds_api.cli.common.lab import lab_missing
from tds_api.cli.common.output import say, terminal
from tds_core.config.settings import Settings, load_settings
from tds_core.config.sources import SECRETS_FILE
from tds_core.observability.logging import configure_logging
from tds_local.stack import FIRST_ADMIN_STEP, Stack, running_stack

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def sandbox(context: typer.Context) -> None:
    """Run the Zoho stand-in; every option is its own (try --help)."""
    if find_spec("zoho_sandbox") is None:
        raise lab_missing("`tds sandbox`")
    command = [sys.executable, "-m", "zoho_sandbox", *context.args]
    os.execv(sys.executable, command)  # noqa: S606 (it takes our place, so signals reach it)


class StopRequested(BaseException):
    """Raised in the main thread by the first signal to stop."""


def up(
    host: str = typer.Option("", help="Address of the API instead of TDS_HOST."),
    port: int = typer.Option(0, help="Port of the API instead of TDS_PORT."),
    workers: int = typer.Option(-1, help="Worker processes instead of TDS_WORKERS."),
    as_json: bool = typer.Option(False, "--json", help="One line with the addresses once all is ready."),
) -> None:
    """Run all of TDS here: embedded PostgreSQL and Redis unless their addresses are set, API, workers, Beat, Flower."""
    settings = _with_options(load_settings(), host=host, port=port, workers=workers)
    configure_logging(settings.replace("command line", log_format="console"), process="up")
    console = terminal(stderr=True, quiet=as_json, highlight=False)

    def show(name: str, seconds: float, detail: str) -> None:
        if name == FIRST_ADMIN_STEP:  # printed at the end, where it is not overlooked
            return
        console.print(f"[green]✓[/] {name:<12} [dim]{seconds:5.1f} s[/]  {detail}", soft_wrap=True)

    with contextlib.suppress(StopRequested), stop_signals() as stops, running_stack(settings, on_step=show) as stack:
        stops.append(stack.processes.hurry)
        if as_json:
            document = {"pid": os.getpid(), "home": str(stack.settings.home), **stack.urls}
            if stack.first_admin:
                document["first_admin"] = dict(zip(("name", "password"), stack.first_admin, strict=True))
            say(json.dumps(document))
        _show_addresses(console, stack)
        try:
            stack.wait()
        finally:
            console.print("Stopping (again Ctrl-C: at once) …")


@contextlib.contextmanager
def stop_signals() -> Iterator[list[Callable[[], None]]]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into StopRequested; later ones call what the block put in the list."""
    later: list[Callable[[], None]] = []
    seen: list[int] = []

    def react(number: int, _frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) == 1:
            raise StopRequested
        for call in later:
            call()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, react) for number in numbers]
    try:
        yield later
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)


def _with_options(settings: Settings, *, host: str, port: int, workers: int) -> Settings:
    options = {"host": host or None, "port": port or None, "workers": workers if workers >= 0 else None}
    return settings.replace("command line", **{name: value for name, value in options.items() if value is not None})


def _show_addresses(console: Console, stack: Stack) -> None:
    settings = stack.settings
    console.print()
    for name, url in stack.urls.items():
        console.print(f"  {name:<10} {url}", soft_wrap=True)
    if stack.first_admin:
        console.print(
            "\n  [bold]Log in as {} with the password {}[/]: it is shown this once.".format(*stack.first_admin),
            soft_wrap=True,
        )
    console.print("\n  Operators: tds operators create NAME --role operator. Keys of programs: tds keys create NAME")
    console.print(f"  The token TDS_API_TOKEN opens the API too; Flower lets {settings.flower_user} in: both are in")
    console.print(
        f"  {settings.home / SECRETS_FILE} unless you set them. Logs: {settings.home / 'logs'}", soft_wrap=True
    )
    if settings.unsigned_webhooks:
        console.print("\n  [bold red]Webhooks are taken UNSIGNED (TDS_UNSIGNED_WEBHOOKS): anybody can post them.[/]")
    if not settings.zoho_organization_id:
        console.print(f"\n  Next: connect Zoho; {stack.urls['dashboard']}/set-up leads through it.", soft_wrap=True)
        console.print("  `tds doctor` says what is missing.")
    console.print("\n  Ctrl-C stops everything.")
