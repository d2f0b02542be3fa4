"""The API as `tds up` runs it, a process of its own, for tests of what only a real server shows."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tds_core.config.settings import load_settings
from tds_local.programs import api
from tests.support.webhook_sender import SECRET, TOKEN


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(database: str, home: Path, **environ: str) -> Iterator[int]:
    """The port of an API process on `database`."""
    port = free_port()
    params = {
        "TDS_DATABASE_URL": database,
        "TDS_HOME": str(home),
        "TDS_PORT": str(port),
        "TDS_API_TOKEN": TOKEN,
        "ZOHO_WEBHOOK_SECRET": SECRET,
        "TDS_LOG_LEVEL": "WARNING",
        **environ,
    }
    program = api(load_settings(params))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))}
    with (home / "api.log").open("wb") as log:
        process = subprocess.Popen(program.argv, env={**kept, **params}, stdout=log, stderr=log)
        try:
            _await(port)
            yield port
        finally:
            process.terminate()
            process.wait(20)


def _await(port: int) -> None:
    deadline = time.monotonic() + 90  # a busy machine takes its time to import
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1)
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the API did not start")
