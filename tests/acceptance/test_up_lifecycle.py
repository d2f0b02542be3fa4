"""However `tds up` ends, nothing of it is left running, and the next one starts."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tds_local.embedded.readiness import is_free

pytestmark = pytest.mark.acceptance


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """An environment with a home of its own and ports nobody uses."""
    home = Path(tempfile.mkdtemp(prefix="tds-home-"))
    home.chmod(0o755)
    # Anywhere below the ports that programs are given: another run of these tests may start in this very second.
    wanted = random.sample(range(18_000, 32_000), 50)
    free = [port for port in wanted if is_free(port)][:2]
    yield {
        **{name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))},
        "TDS_HOME": str(home), "TDS_PORT": str(free[0]), "TDS_FLOWER_PORT": str(free[1]),
    }  # fmt: skip
    shutil.rmtree(home)


@contextlib.contextmanager
def running(environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    """A stack of stand-ins, ready; ended afterwards if it still runs."""
    command = [sys.executable, "-m", "tests.acceptance.up_with_standins"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("{"), process.stderr.read()
        yield process
    finally:
        process.terminate()
        process.communicate()


def everybody(process: subprocess.Popen, at_least: int = 14) -> list[psutil.Process]:
    """The process with all its descendants, once the families are complete."""
    parent = psutil.Process(process.pid)
    wait_for(lambda: len(parent.children(recursive=True)) >= at_least)
    return [parent, *parent.children(recursive=True)]


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    alive = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
    return alive


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_after_a_signal_nothing_is_left_and_the_exit_is_a_success(
    environment: dict[str, str], number: signal.Signals
) -> None:
    with running(environment) as process:
        family = everybody(process)
        process.send_signal(number)
        assert process.wait(20) == 0
        assert living(family) == []
        assert not (Path(environment["TDS_HOME"]) / "running.json").exists()


def test_after_being_killed_nothing_is_left(environment: dict[str, str]) -> None:
    with running(environment) as process:
        family = everybody(process)
        process.kill()
        assert wait_for(lambda: living(family) == []), living(family)


def test_after_being_killed_the_next_one_starts_at_once(environment: dict[str, str]) -> None:
    with running(environment) as process:
        process.kill()
        process.wait()
        with running(environment) as again:
            assert len(everybody(again)) > 7


def test_a_second_one_in_the_same_home_names_the_one_that_runs(environment: dict[str, str]) -> None:
    with running(environment) as process:
        command = [sys.executable, "-m", "tds_api.cli", "up"]
        second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 3
        assert f"already running in {environment['TDS_HOME']} (process {process.pid})" in second.stderr.replace(
            "\n", " "
        )


def test_other_commands_find_the_stack_that_runs(environment: dict[str, str]) -> None:
    with running(environment):
        command = [sys.executable, "-m", "tds_api.cli", "doctor", "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        findings = {each["check"]: each for each in json.loads(done.stdout)}
        for check in ("PostgreSQL", "Schema", "Redis", "Redis memory", "Secrets"):
            assert findings[check]["is_ok"], findings[check]
        assert "embedded, running" in findings["PostgreSQL"]["says"]


def test_a_taken_port_is_reported_before_anything_starts(environment: dict[str, str]) -> None:
    with running(environment):
        other = {**environment, "TDS_HOME": f"{environment['TDS_HOME']}/other"}
        holder = subprocess.Popen(
            [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", environment["TDS_PORT"]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(lambda: not is_free(int(environment["TDS_PORT"])))
            command = [sys.executable, "-m", "tds_api.cli", "up"]
            done = subprocess.run(command, env=other, capture_output=True, text=True, timeout=60, check=False)
        finally:
            holder.kill()
            holder.wait()
        assert done.returncode == 2
        assert "TDS_PORT" in done.stderr
        assert not (Path(other["TDS_HOME"]) / "postgres").exists()


def test_secrets_are_made_once_and_only_for_their_owner(environment: dict[str, str]) -> None:
    path = Path(environment["TDS_HOME"]) / "secrets.json"
    with running(environment) as process:
        first = path.read_text()
        process.terminate()
        process.wait(20)
    with running(environment):
        assert path.read_text() == first
    assert path.stat().st_mode & 0o077 == 0
    assert {"TDS_SECRET_KEY", "TDS_API_TOKEN", "TDS_FLOWER_PASSWORD"} <= set(json.loads(first))


def wait_for(seen: object, seconds: float = 20) -> bool:
    """Ask until it is true, at most so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if seen():
            return True
        time.sleep(0.05)
    return False
