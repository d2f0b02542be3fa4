"""`tds stack`: how a running `tds up` does, its end, and a restart of its programs, asked over its control socket."""

import time
from typing import Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from tds_api.cli.common.output import say, say_json, say_table, terminal
from tds_core.config.settings import load_settings
from tds_core.errors import NotFoundError, NotRunningError, ProgramFailedError
from tds_local.control_socket import ask
from tds_local.stack import migrate_schema

stack = typer.Typer(no_args_is_help=True, help="The running `tds up` of this machine: status, stop, restart.")

_JSON = typer.Option(False, "--json", help="For programs.")
_PROGRAMS = typer.Argument(None, help="Programs of `tds stack status`; none: all, one after the other.")
_COLUMNS = ("program", "state", "process", "for", "restarts", "memory", "log")
_MB = 1_000_000
# A program has its grace to end, and loads for a while on a busy machine.
_STOP_SECONDS, _RESTART_SECONDS = 60.0, 90.0
_LOOK_SECONDS = 0.3


@stack.command()
def status(as_json: bool = _JSON) -> None:
    """Show the programs of the `tds up` that runs here; exit code 1 where one is not running, 3 where no stack is."""
    found = ask(load_settings().home, "status")
    if as_json:
        say_json(found)
    else:
        console = terminal()
        rows = [
            (
                each["name"], each["state"], each["pid"], f"{each['seconds']:.0f} s", each["restart_count"],
                f"{each['memory_bytes'] / _MB:.0f} MB", each["log"],
            )
            for each in found["programs"]
        ]  # fmt: skip
        say_table(f"tds up, process {found['pid']}", _COLUMNS, rows, console=console)
        for name, state in found["servers"].items():
            say(f"{name}: {state}")
    if any(each["state"] != "runs" for each in found["programs"]):
        raise typer.Exit(1)


@stack.command()
def stop(as_json: bool = _JSON) -> None:
    """Stop the `tds up` that runs here, in order, and wait until it has ended."""
    home = load_settings().home
    pid = ask(home, "status")["pid"]
    ask(home, "stop")
    until = time.monotonic() + _STOP_SECONDS
    while _answers(home):
        if time.monotonic() > until:
            raise ProgramFailedError(f"It still runs after {_STOP_SECONDS:.0f} s. End it at once with: kill -INT {pid}")
        time.sleep(_LOOK_SECONDS)
    if as_json:
        say_json({"pid": pid, "is_stopped": True})
    else:
        say(f"Stopped (process {pid}). Start it again with: tds up")


@stack.command()
def restart(
    program: list[str] = _PROGRAMS,
    as_json: bool = _JSON,
) -> None:
    """Restart programs one after the other, as after new code; all of them: after the schema was brought up to it.

    Servers of the API take turns behind one port, so that no sender is refused. The embedded PostgreSQL and Redis and
    `tds up` itself stay as they are.
    """
    settings = load_settings()
    home = settings.home
    names = list(program or [each["name"] for each in ask(home, "status")["programs"]])
    done: dict[str, str] = {}
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), console=terminal(stderr=True), transient=True,
        disable=as_json,
    ) as progress:  # fmt: skip
        shown = progress.add_task("the schema is migrated" if not program else "")
        if not program:
            done["schema"] = f"is at revision {migrate_schema(settings)}"
        for number, name in enumerate(names, 1):
            progress.update(shown, description=f"{name} restarts ({number} of {len(names)})")
            done[name] = _restart(home, name)
    if as_json:
        say_json(done)
    else:
        say("\n".join(f"{name} {what}" for name, what in done.items()))


def _restart(home: Any, name: str) -> str:
    """Restart one program, and wait until another process is at work. Raises ProgramFailedError, NotFoundError."""
    until = time.monotonic() + _RESTART_SECONDS
    done = "starts"
    while done == "starts" and time.monotonic() < until:
        before = _program(home, name)
        if before["state"] == "starts":
            time.sleep(_LOOK_SECONDS)
        else:
            done = ask(home, "restart", program=name)["done"]
    reloads = done == "reloads"
    while time.monotonic() < until:
        now = _program(home, name)
        if reloads and now["serving"] and not set(now["serving"]) & set(before["serving"]):
            return "has loaded again"
        if not reloads and now["state"] == "runs" and now["pid"] != before["pid"]:
            return f"runs again (process {now['pid']})"
        time.sleep(_LOOK_SECONDS)
    raise ProgramFailedError(f"{name} does not run again after {_RESTART_SECONDS:.0f} s: see {before['log']}")


def _program(home: Any, name: str) -> dict[str, Any]:
    programs = ask(home, "status")["programs"]
    known = next((each for each in programs if each["name"] == name), None)
    if known is None:
        raise NotFoundError(f"No program is called {name}. There are {', '.join(each['name'] for each in programs)}.")
    return dict(known)


def _answers(home: Any) -> bool:
    try:
        ask(home, "status")
    except NotRunningError:
        return False
    return True
