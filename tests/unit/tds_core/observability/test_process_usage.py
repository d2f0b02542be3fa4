"""What the processes of TDS use is read from the system, by program, and never fails on one that is gone."""

import os
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from tds_core.observability.process_usage import ProcessUsage, own_family, usage_of

BUSY = "import sys; list(range(10**6)); print('ready', flush=True); sys.stdin.readline()"


@pytest.fixture
def worker() -> Iterator[int]:
    """The id of a process that its supervisor called worker-7."""
    command = [sys.executable, "-c", BUSY]
    given = {**os.environ, "TDS_PROCESS": "worker-7"}
    process = subprocess.Popen(command, env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    yield process.pid
    process.communicate("\n")


def test_memory_time_and_start_of_each_program_are_read(worker: int) -> None:
    usage = usage_of([worker])["worker-7"]
    process = psutil.Process(worker)
    assert (usage.process_count, usage.started_at) == (1, process.create_time())
    assert 1 < usage.memory_bytes / process.memory_info().rss * 2 < 4
    assert usage.cpu_seconds > 0
    assert worker in own_family()


def test_a_process_that_ended_meanwhile_is_left_out(worker: int) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert set(usage_of([gone.pid, worker])) == {"worker-7"}


def test_they_are_metrics_of_the_scrape(worker: int) -> None:
    found = {family.name: family.samples for family in ProcessUsage(lambda: [worker]).collect()}
    assert set(found) == {
        "tds_process_memory_bytes", "tds_process_cpu_seconds", "tds_process_started_seconds", "tds_processes",
    }  # fmt: skip
    [memory] = found["tds_process_memory_bytes"]
    assert memory.labels == {"program": "worker-7"} and memory.value > 10**6
