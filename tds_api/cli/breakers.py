"""`tds breakers`: shows the circuit breakers, and closes one, or all, by hand."""

from collections.abc import Sequence
from getpass import getuser
from types import SimpleNamespace
from typing import Any

import typer

from tds_api.cli.common.database import DatabaseAwayError, database
from tds_api.cli.common.logged_transactions import did
from tds_api.cli.common.output import say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.breakers.registry import Breakers, open_breakers
from tds_core.config.settings import Settings, load_settings
from tds_core.errors import ConfigError
from tds_core.observability.logging import configure_logging

breakers = typer.Typer(help="Show the circuit breakers; close one, or all, by hand.")

_COLUMNS = ("breaker", "state", "next probe", "calls", "failures", "refused", "success", "last success", "last error")


@breakers.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: bool = typer.Option(False, "--json", help="For programs.")) -> None:
    """Show every breaker that was ever used, and its statistics."""
    if context.invoked_subcommand:
        return
    states: Sequence[Any]
    if api := remote():
        states = [SimpleNamespace(**each) for each in api.get("/circuit-breakers")]
    else:
        states = _shared_breakers().states(of_all=True)
    if as_json:
        say_json([vars(each) for each in states] if api else states)
        return
    say_table("Circuit breakers", _COLUMNS, map(_row, states), console=terminal())


@breakers.command()
def reset(
    name: str = typer.Argument("", help="A breaker, see: tds breakers"),
    of_all: bool = typer.Option(False, "--all", help="Every breaker there is."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Close a breaker, or all, for all processes; they hear of it within a second."""
    if bool(name) == of_all:
        raise ConfigError("Name one breaker, or give --all. See which there are: tds breakers")
    closed = _reset_all() if of_all else [_reset_one(name)]
    if as_json:
        say_json(closed)
    elif closed:
        are = "is closed. Work that waits for it" if len(closed) == 1 else "are closed. Work that waits for them"
        say(f"{', '.join(closed)} {are} comes back by itself.")
    else:
        say("No breaker was used yet, so none is open.")


def _reset_one(name: str) -> str:
    if api := remote():
        return str(api.post(f"/circuit-breakers/{name}/reset")["name"])
    closed = _shared_breakers().reset(name, by=getuser()).name
    _record(name)
    return closed


def _reset_all() -> list[str]:
    if api := remote():
        return [each["name"] for each in api.post("/circuit-breakers/reset")]
    closed = [each.name for each in _shared_breakers().reset_all(by=getuser())]
    _record("all")
    return closed


def _record(name: str) -> None:
    """Log the action if possible: when a breaker is closed by hand, the database may be away too."""
    try:
        with database() as engine:
            did(engine, "breakers.reset", name)
    except (ConfigError, DatabaseAwayError):
        say("Not recorded in the action log: the database cannot be reached.", err=True)


def quiet_breakers(settings: Settings) -> Breakers:
    """The breakers of `settings`; log lines below ERROR are silenced, as they would mix with the output."""
    configure_logging(settings.replace("command line", log_level="ERROR"), process="cli")
    return open_breakers(settings)


def _shared_breakers() -> Breakers:
    settings = load_settings()
    settings.require("TDS_REDIS_URL")
    return quiet_breakers(settings)


def _row(state: Any) -> tuple[object, ...]:
    rate = None if state.success_rate is None else f"{state.success_rate:.1%}"
    return (
        state.name, str(state.state), state.next_probe_at, state.call_count, state.failure_count,
        state.rejection_count, rate, state.last_success_at, (state.last_error or "")[:60],
    )  # fmt: skip
