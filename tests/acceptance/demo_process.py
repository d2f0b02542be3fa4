"""A `tds demo --json` as a process of its own, and ways to hurt what runs in it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import redis

from tds_core.database_urls import without_driver
from tds_lab.testbed import clean, free_port


class DemoProcess:
    """A running demo and what it said at its end."""

    def __init__(self, home: Path, *options: str, as_json: bool = True) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))}
        self.home = home / "demo"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tds_api.cli", "demo", *(["--json"] if as_json else []), *options],
            # Ports of its own from the start: two demos that begin together would both find the usual ones free.
            env={
                **environment,
                "TDS_HOME": str(home),
                "TDS_PORT": str(free_port()),
                "TDS_FLOWER_PORT": str(free_port()),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_events(self, count: int = 20, seconds: float = 90) -> None:
        """Return once so many webhooks have been received."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.communicate()
            with contextlib.suppress(OSError, psycopg2.Error):
                if self._event_count() >= count:
                    return
            time.sleep(0.2)
        raise AssertionError("no webhooks arrived")

    def report(self, seconds: float = 240) -> dict[str, Any]:
        """Wait for the end; the report, with the exit code under `exit_code`."""
        out, errors = self.process.communicate(timeout=seconds)
        assert out.startswith("{"), errors
        return {**json.loads(out), "exit_code": self.process.returncode}

    def flush_redis(self) -> None:
        """Wipe Redis, as an operator's mistake or an eviction would."""
        with redis.Redis.from_url(self._running()["TDS_REDIS_URL"]) as client:
            client.flushall()

    def redis_server(self) -> psutil.Process:
        """The Redis of this demo."""
        return next(each for each in self._children() if "valkey" in each.name() or "redis" in each.name())

    def workers(self) -> list[psutil.Process]:
        """The parents of the worker processes."""
        return [each for each in self._children() if {"celery", "worker"} <= set(each.cmdline())]

    def family(self) -> list[psutil.Process]:
        """Everything that runs for this demo, itself included."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def _children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def _running(self) -> dict[str, Any]:
        return dict(json.loads((self.home / "running.json").read_text()))

    def execute(self, statement: str) -> None:
        """Do something to the database that nobody should."""
        with self._cursor() as cursor:
            cursor.execute(statement)

    def _event_count(self) -> int:
        with self._cursor() as cursor:
            cursor.execute("select count(*) from tds_inbox_events")
            return int(cursor.fetchone()[0])

    @contextlib.contextmanager
    def _cursor(self) -> Iterator["psycopg2.extensions.cursor"]:
        connection = psycopg2.connect(without_driver(self._running()["TDS_DATABASE_URL"]), connect_timeout=2)
        with contextlib.closing(connection), connection, connection.cursor() as cursor:
            yield cursor


@contextlib.contextmanager
def demo(*options: str, as_json: bool = True) -> Iterator[DemoProcess]:
    """A demo in a home of its own, ended and removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="tds-demo-"))
    home.chmod(0o755)
    running = DemoProcess(home, *options, as_json=as_json)
    try:
        yield running
    finally:
        _end(running.process)
        clean(running.home)
        shutil.rmtree(home)


def _end(process: subprocess.Popen[str]) -> None:
    """The first signal closes in order, the second at once; a demo that has ended needs none."""
    for patience_seconds in (1, 30):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience_seconds)
    if process.poll() is None:
        process.kill()
    process.communicate()


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those of `processes` that still run."""
    alive = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
    return alive


def eventually(seen: Callable[[], bool], seconds: float = 20) -> bool:
    """Ask until it is true, at most so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if seen():
            return True
        time.sleep(0.05)
    return False
