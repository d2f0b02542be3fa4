"""`tds breakers`: which parts of the world are asked, which are left alone, and closing one by hand."""

from getpass import getuser

import typer
from rich.console import Console

from tds_api.cli.output import say_json, say_table
from tds_core.breakers.breakers import Breakers
from tds_core.breakers.setup import open_breakers
from tds_core.breakers.states import BreakerState
from tds_core.config import Settings, load_settings
from tds_core.logging import configure_logging

breakers = typer.Typer(help="Show the circuit breakers; close one by hand.")

_COLUMNS = ("breaker", "state", "next probe", "calls", "failures", "refused", "success", "last success", "last error")


@breakers.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: bool = typer.Option(False, "--json", help="For programs.")) -> None:
    """Show every breaker that was ever used, and its statistics."""
    if context.invoked_subcommand:
        return
    found = _shared().states(of_all=True)
    if as_json:
        say_json(found)
        return
    say_table("Circuit breakers", _COLUMNS, map(_row, found), console=Console())


@breakers.command()
def reset(name: str = typer.Argument(help="A breaker, see: tds breakers")) -> None:
    """Close a breaker for all processes; they hear of it within a second."""
    found = _shared().reset(name, by=getuser())
    typer.echo(f"{found.name} is closed. Work that waits for it comes back by itself.")


def quiet_breakers(settings: Settings) -> Breakers:
    """The breakers of `settings`, without log lines between the lines of a command."""
    configure_logging(settings.replace("command line", log_level="ERROR"), process="cli")
    return open_breakers(settings)


def _shared() -> Breakers:
    settings = load_settings()
    settings.require("TDS_REDIS_URL")
    return quiet_breakers(settings)


def _row(state: BreakerState) -> tuple[object, ...]:
    rate = None if state.success_rate is None else f"{state.success_rate:.1%}"
    return (
        state.name, state.state.value, state.next_probe_at, state.call_count, state.failure_count,
        state.rejection_count, rate, state.last_success_at, (state.last_error or "")[:60],
    )  # fmt: skip
