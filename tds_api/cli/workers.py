"""`tds workers`: starts, stops and shows additional workers, beside `tds up` or on another machine."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.output import say, say_json, say_table, terminal
from tds_api.cli.up import StopRequested, stop_signals
from tds_core.config.settings import Settings, load_settings
from tds_core.errors import ProgramFailedError
from tds_core.healing import stats
from tds_core.observability.logging import configure_logging
from tds_local.embedded.guardian import Guardian
from tds_local.embedded.home import Ownership, write_private
from tds_local.embedded.log_rotation import shorten
from tds_local.embedded.readiness import tail
from tds_local.programs import environment_of, worker
from tds_local.supervisor import Supervisor

workers = typer.Typer(no_args_is_help=True, help="More workers, here: start, stop, status.")

NAME = "more"
KEEPER_FILE = "workers.json"
# A worker takes up to this long to load, on a busy machine; and to end what it has in hand.
START_SECONDS, STOP_SECONDS = 60.0, 45.0
_JSON = typer.Option(False, "--json", help="For programs.")
_COUNT = typer.Option(0, "--count", "-n", min=0, max=64, help="How many; 0: TDS_WORKERS.")
_NONE = (
    "None were started here by `tds workers start` ({}). Those of `tds up` and `tds demo` end with it: Ctrl-C where it"
    " runs. All of them, wherever they run: tds workers status"
)
_COLUMNS = ("worker", "state", "busy", "queues", "started", "last heard", "process")


@workers.command()
def start(count: int = _COUNT, as_json: bool = _JSON) -> None:
    """Start workers in the background, kept running until `tds workers stop`; returns once they listen."""
    settings = _settings()
    count = count or settings.workers
    log = settings.home / "logs" / "workers.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shorten(log)
    before = _listening()
    with log.open("ab") as output:
        keeper = subprocess.Popen(  # noqa: S603 (our own program)
            [sys.executable, "-m", "tds_api.cli", "workers", "run", "--count", str(count)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    until = time.monotonic() + START_SECONDS
    while not _running_keeper(settings) or len(_listening() - before) < count:
        if keeper.poll() is not None or time.monotonic() > until:
            what = "ended" if keeper.poll() is not None else f"did not listen within {START_SECONDS:.0f} s"
            end = "\n".join(tail(log).strip().splitlines()[-6:])
            raise ProgramFailedError(f"The workers {what}. The end of {log}:\n{end}")
        time.sleep(0.3)
    if as_json:
        say_json({"pid": keeper.pid, "count": count, "log": str(log)})
    else:
        say(f"{count} workers listen (process {keeper.pid}, {log}). End them with: tds workers stop")


@workers.command()
def stop(as_json: bool = _JSON) -> None:
    """End the workers that `tds workers start` began here; what they have in hand is finished or taken by others."""
    settings = load_settings()
    keeper = _running_keeper(settings)
    if keeper:
        os.kill(keeper["pid"], signal.SIGTERM)
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(keeper["pid"]).wait(STOP_SECONDS)
    ended = keeper["count"] if keeper else 0
    if as_json:
        say_json({"ended": ended})
    else:
        say(f"{ended} workers ended. Which still run: tds workers status" if keeper else _NONE.format(settings.home))


@workers.command()
def status(as_json: bool = _JSON) -> None:
    """Show all workers, wherever they run, and those kept here; exit code 5 when none listens."""
    keeper = _running_keeper(load_settings())
    with transaction() as session:
        rows = stats.healing_stats(session)["workers"]
    if as_json:
        say_json({"kept_here": keeper, "workers": rows})
    else:
        console = terminal()
        say_table("Workers", _COLUMNS, map(_row, rows), console=console)
        here = (
            f"{keeper['count']} by process {keeper['pid']}; tds workers stop"
            if keeper
            else "none by `tds workers start`"
        )
        console.print(f"[dim]Kept here: {here}[/]")
    if not any(each["state"] in ("listening", "busy") for each in rows):
        raise typer.Exit(5)


@workers.command()
def run(count: int = _COUNT) -> None:
    """Run workers in the foreground until a signal, starting again what dies; for a supervisor such as systemd."""
    settings = _settings()
    configure_logging(settings, process="workers")
    with contextlib.suppress(StopRequested), stop_signals() as stops, _supervisor(settings) as keeper:
        stops.append(keeper.hurry)
        worker_count = count or settings.workers
        for number in range(1, worker_count + 1):
            keeper.launch(worker(settings, number, kind=NAME))
        keeper.supervise()
        write_private(settings.home / KEEPER_FILE, json.dumps({"pid": os.getpid(), "count": worker_count}) + "\n")
        keeper.wait()


@contextlib.contextmanager
def _supervisor(settings: Settings) -> Iterator[Supervisor]:
    with contextlib.ExitStack() as ends:
        owner = Ownership(settings.home / "workers.owner", what="A keeper of workers")
        owner.take()
        ends.callback(owner.release)
        guard = Guardian()
        ends.callback(guard.close)
        keeper = Supervisor(logs=settings.home / "logs", env=environment_of(settings), guard=guard)
        ends.callback((settings.home / KEEPER_FILE).unlink, missing_ok=True)
        ends.callback(keeper.stop)
        yield keeper


def _settings() -> Settings:
    settings = load_settings()
    settings.require("TDS_DATABASE_URL", "TDS_REDIS_URL", "TDS_SECRET_KEY")
    return settings


def _running_keeper(settings: Settings) -> dict[str, Any] | None:
    """Process id and worker count of the `tds workers run` of this home; None if none runs."""
    path: Path = settings.home / KEEPER_FILE
    try:
        state: dict[str, Any] = json.loads(path.read_text())
        is_keeper = "workers" in psutil.Process(state["pid"]).cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return state if is_keeper else None


def _listening() -> set[str]:
    """The processes of workers that report themselves, of those started by this command."""
    with transaction() as session:
        rows = stats.healing_stats(session)["workers"]
    return {
        each["process"] for each in rows if each["state"] in ("listening", "busy") and each["name"].startswith(NAME)
    }


def _row(row: stats.WorkerRow) -> tuple[Any, ...]:
    busy = f"{row['busy_count']} of {row['slot_count']}"
    queues = ", ".join(name.removeprefix("tds.") for name in row["queues"] if ".ear." not in name)
    return row["name"], row["state"], busy, queues, row["started_at"], row["heard_at"], row["process"]
