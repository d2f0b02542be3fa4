"""`tds operators sessions`: shows where an operator is logged in, and ends one session or all."""

from typing import Any

import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.auth import operator_sessions as core
from tds_core.auth.sessions import Lifetime
from tds_core.config.settings import load_settings
from tds_core.errors import ConfigError

_COLUMNS = ("session", "from", "began", "last used", "ends")


def sessions(
    name: str = typer.Argument(help="An operator, see: tds operators list"),
    end: str = typer.Option("", metavar="SESSION", help="End this one."),
    end_all: bool = typer.Option(False, "--end-all", help="End all of them."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Show the open sessions of an operator, or end them; they may log in again."""
    if end and end_all:
        raise ConfigError("Give --end SESSION or --end-all, not both.")
    if end or end_all:
        ended_count = _end_one(name, end) if end else _end_all(name)
        if as_json:
            say_json({"ended_count": ended_count})
        else:
            says = "1 session was ended" if ended_count == 1 else f"{ended_count:,} sessions were ended"
            say(f"{says}. To let {name} in no more: tds operators disable {name}")
        return
    rows = _open_sessions(name)
    if as_json:
        say_json(rows)
    else:
        say_table(f"Sessions of {name}", _COLUMNS, map(_row, rows), console=terminal())


def _open_sessions(name: str) -> list[Any]:
    if api := remote():
        return list(api.get(f"/operators/{name}/sessions"))
    settings = load_settings()
    lifetime = Lifetime(settings.session_idle_seconds, settings.session_seconds)
    with transaction() as session:
        return list(core.open_sessions(session, name, lifetime=lifetime))


def _end_one(name: str, session_id: str) -> int:
    if api := remote():
        api.change("DELETE", f"/operators/{name}/sessions/{session_id}")
    else:
        with acting("operators.end_sessions", name, detail={"session": session_id}) as session:
            core.end_session(session, name, session_id)
    return 1


def _end_all(name: str) -> int:
    if api := remote():
        return int(api.change("DELETE", f"/operators/{name}/sessions")["ended_count"])
    with acting("operators.end_sessions", name) as session:
        return core.end_sessions(session, name)


def _row(row: core.OperatorSessionRow) -> tuple[Any, ...]:
    return (row["id"], row["remote_address"], row["began_at"], row["last_used_at"], row["ends_at"])
