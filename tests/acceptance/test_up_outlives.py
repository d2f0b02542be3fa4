"""`tds up` goes on watching everything of its own whatever a start of one of them comes to."""

import contextlib
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.acceptance.test_up_lifecycle import environment, running, wait_for

pytestmark = pytest.mark.acceptance
__all__ = ["environment"]

SERVERS = ("postgres", "valkey", "redis")


def leaders(process: subprocess.Popen) -> dict[str, psutil.Process]:
    """What `tds up` keeps running, by name; the guardian is no such thing."""
    found = {}
    for child in psutil.Process(process.pid).children():
        with contextlib.suppress(psutil.Error):  # just gone
            if child.status() == psutil.STATUS_ZOMBIE:
                continue
            name = next((each for each in SERVERS if child.name().startswith(each)), "")
            found[name or child.environ().get("TDS_PROCESS", "guardian")] = child
    return {name: child for name, child in found.items() if name != "guardian"}


def all_come_back(process: subprocess.Popen, killed: dict[str, psutil.Process]) -> bool:
    def have() -> bool:
        now = leaders(process)
        return set(now) == set(killed) and all(now[name].pid != killed[name].pid for name in killed)

    return wait_for(have, 40)


@contextmanager
def too_many_open_files(process: subprocess.Popen) -> Iterator[None]:
    """Not one more file may be opened."""
    watched = psutil.Process(process.pid)
    before = watched.rlimit(resource.RLIMIT_NOFILE)
    watched.rlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    yield
    watched.rlimit(resource.RLIMIT_NOFILE, before)


def test_after_too_many_open_files_all_that_died_comes_back_and_is_watched_on(environment: dict[str, str]) -> None:
    with running(environment) as process:
        killed = leaders(process)
        assert len(killed) == 4
        with too_many_open_files(process):
            for each in killed.values():
                each.kill()
            time.sleep(4)
        assert all_come_back(process, killed)
        again = leaders(process)
        time.sleep(2)
        assert all(each.is_running() for each in again.values()), "what a thread started ended with it"
        for each in again.values():
            each.kill()
        assert all_come_back(process, again)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_logs_that_cannot_be_written_keep_nothing_from_coming_back(environment: dict[str, str]) -> None:
    with running(environment) as process:
        logs = Path(environment["TDS_HOME"]) / "logs"
        logs.rename(logs.with_name("elsewhere"))
        logs.write_text("no directory")
        killed = leaders(process)
        for each in killed.values():
            each.kill()
        assert all_come_back(process, killed)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0
    assert "log_file_unwritable" in errors
