"""Supervised programs: brought back when they die, ended with all their descendants."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tds_api.cli.processes import Program, Supervisor
from tds_core.embedded.guardian import Guardian
from tds_core.errors import ProgramFailedError

# A program with one child that ignores SIGTERM and one that leaves its process group, as servers' workers may.
FAMILY = """
import os, subprocess, sys, time
run = lambda code: subprocess.Popen([sys.executable, "-c", code])
run("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
run("import os, time; os.setpgrp(); time.sleep(600)")
print("family complete", flush=True)
time.sleep(600)
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisor whose programs are gone after the test."""
    guard = Guardian()
    supervisor = Supervisor(logs=tmp_path, env=dict(os.environ), guard=guard)
    yield supervisor
    supervisor.stop(grace_seconds=0)
    guard.close()


def family(supervisor: Supervisor) -> Program:
    log = supervisor.log_of("family")
    return Program(name="family", argv=[sys.executable, "-c", FAMILY], is_ready=lambda: b"complete" in log.read_bytes())


def members(pid: int) -> list[psutil.Process]:
    leader = psutil.Process(pid)
    wait_for(lambda: len(leader.children()) == 2)
    return [leader, *leader.children(recursive=True)]


def test_a_killed_program_is_started_again_and_its_orphans_are_ended(supervisor: Supervisor) -> None:
    running = supervisor.start(family(supervisor))
    before = members(running.pid)
    os.kill(running.pid, signal.SIGKILL)
    assert wait_for(lambda: running.restart_count == 1)
    assert wait_for(lambda: not any(map(is_alive, before)))
    assert psutil.Process(running.pid).is_running()


def test_a_program_that_keeps_dying_is_given_longer_and_longer_pauses(supervisor: Supervisor) -> None:
    running = supervisor.start(Program(name="sick", argv=[sys.executable, "-c", "raise SystemExit(3)"]))
    pauses: list[float] = []
    for count in (1, 2, 3):
        assert wait_for(lambda count=count: running.quick_death_count == count and running.due_at is not None)
        pauses.append(running.due_at - time.monotonic())
    assert pauses == sorted(pauses)
    assert pauses[2] > 2 * pauses[0]


def test_a_program_that_others_kill_is_started_again_without_longer_pauses(supervisor: Supervisor) -> None:
    running = supervisor.start(Program(name="victim", argv=[sys.executable, "-c", "import time; time.sleep(60)"]))
    for count in (1, 2, 3):
        os.kill(running.pid, signal.SIGKILL)
        assert wait_for(lambda count=count: running.restart_count == count)
    assert running.quick_death_count == 0


def test_stop_ends_programs_with_all_descendants(supervisor: Supervisor) -> None:
    running = supervisor.start(family(supervisor))
    everybody = members(running.pid)
    supervisor.stop()
    assert not [each for each in everybody if is_alive(each)]


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(supervisor: Supervisor) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    log = supervisor.log_of("deaf")
    ready = lambda: b"deaf" in log.read_bytes()  # noqa: E731
    running = supervisor.start(Program(name="deaf", argv=[sys.executable, "-c", code], is_ready=ready))
    began = time.monotonic()
    supervisor.stop(grace_seconds=0.5)
    assert 0.5 <= time.monotonic() - began < 3
    assert not psutil.pid_exists(running.pid)


def test_a_program_that_fails_at_the_start_shows_the_end_of_its_log(supervisor: Supervisor) -> None:
    code = "raise SystemExit('the reason')"
    with pytest.raises(ProgramFailedError, match="the reason"):
        supervisor.start(Program(name="broken", argv=[sys.executable, "-c", code], is_ready=lambda: False))


def test_programs_get_the_common_environment_their_own_and_their_name(supervisor: Supervisor) -> None:
    code = "import os; print(os.environ['OWN'], os.environ['TDS_PROCESS'], 'PATH' in os.environ, flush=True)"
    supervisor.start(Program(name="speaker", argv=[sys.executable, "-c", code], env={"OWN": "mine"}))
    assert wait_for(lambda: b"mine speaker True" in supervisor.log_of("speaker").read_bytes())


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie only waits for its parent to take note."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(seen: Callable[[], bool], seconds: float = 15) -> bool:
    """Ask until it is true, at most so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if seen():
            return True
        time.sleep(0.02)
    return False
