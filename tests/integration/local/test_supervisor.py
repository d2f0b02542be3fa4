"""Supervised programs: brought back when they die, ended with all their descendants."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from tds_core.errors import ProgramFailedError
from tds_local.embedded.guardian import Guardian
from tds_local.embedded.log_rotation import LogFile
from tds_local.supervisor import Program, Running, Supervisor, has_ended

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


def test_a_program_that_served_and_was_killed_is_started_at_once(supervisor: Supervisor) -> None:
    running = supervisor.launch(Program(name="victim", argv=[sys.executable, "-c", "import time; time.sleep(60)"]))
    running.started_at -= 10
    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: has_ended(running.pid))
    supervisor._look_at(running)
    assert running.due_at is not None and running.due_at <= time.monotonic()


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


def sleeper(name: str) -> Program:
    return Program(name=name, argv=[sys.executable, "-c", "import time; time.sleep(600)"])


def killed(running: Running) -> None:
    os.kill(running.pid, signal.SIGKILL)


def came_back(running: Running, restart_count: int) -> bool:
    return wait_for(lambda: running.restart_count == restart_count and running.due_at is None)


def test_a_log_that_cannot_be_written_stops_no_program_and_is_reported_once_a_start(supervisor: Supervisor) -> None:
    running = supervisor.start(sleeper("unlogged"))
    log = supervisor.log_of("unlogged")
    log.unlink()
    log.mkdir()
    with capture_logs() as told:
        for count in (1, 2):
            killed(running)
            assert came_back(running, count)
        assert wait_for(lambda: "log_file_unwritable" in events(told))
        time.sleep(1)
        assert events(told).count("log_file_unwritable") == 2
        assert next(each["path"] for each in told if each["event"] == "log_file_unwritable") == str(log)


def test_a_program_that_cannot_be_started_is_tried_again_while_others_are_looked_after(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nsleep 600\n")
    script.chmod(0o755)
    broken, neighbour = supervisor.start(Program(name="broken", argv=[str(script)])), supervisor.start(sleeper("other"))
    script.rename(tmp_path / "elsewhere")
    with capture_logs() as told:
        killed(broken)
        assert wait_for(lambda: broken.failure_count == 2)
        killed(neighbour)
        assert came_back(neighbour, 1)
        assert events(told).count("program_start_failed") == 1
        assert "No such file" in next(each["error"] for each in told if each["event"] == "program_start_failed")
    (tmp_path / "elsewhere").rename(script)
    assert came_back(broken, 1)


def test_a_keeper_that_fails_or_takes_long_stops_neither_programs_nor_other_keepers(tmp_path: Path) -> None:
    def fails() -> None:
        calls.append("fails")
        raise OSError(24, "Too many open files")

    def takes_long() -> None:
        calls.append("takes long")
        time.sleep(8)

    calls: list[str] = []
    guard = Guardian()
    keepers = {"failing": fails, "slow": takes_long, "well": lambda: calls.append("well")}
    supervisor = Supervisor(logs=tmp_path, env=dict(os.environ), guard=guard, keepers=keepers)
    try:
        running = supervisor.start(sleeper("sleeper"))
        killed(running)
        assert came_back(running, 1)
        assert wait_for(lambda: calls.count("fails") >= 2 and calls.count("well") >= 5)
        assert calls.count("takes long") == 1
    finally:
        supervisor.stop(grace_seconds=0)
        guard.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_waits_hears_of_a_watch_that_cannot_go_on(tmp_path: Path) -> None:
    def ends_the_thread() -> None:
        raise SystemExit

    guard = Guardian()
    supervisor = Supervisor(logs=tmp_path, env={}, guard=guard, keepers={"PostgreSQL": ends_the_thread})
    supervisor.supervise()
    try:
        with pytest.raises(ProgramFailedError, match="watch over PostgreSQL has ended"):
            supervisor.wait()
    finally:
        supervisor.stop(grace_seconds=0)
        guard.close()


def test_a_log_is_bounded_while_its_program_runs(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogFile.__init__, "__kwdefaults__", {"largest_bytes": 20_000})
    code = "for n in range(20_000): print(f'line {n:06}', flush=n % 100 == 99)\nimport time; time.sleep(600)"
    supervisor.start(Program(name="talker", argv=[sys.executable, "-c", code]))
    log = supervisor.log_of("talker")

    def is_written() -> bool:
        with contextlib.suppress(FileNotFoundError):  # just put aside
            return "line 019999" in log.read_text()
        return False

    wait_for(is_written)
    before = log.with_suffix(".log.1")
    assert {path.name for path in log.parent.glob("talker*")} == {log.name, before.name}
    assert max(log.stat().st_size, before.stat().st_size) < 20_000 + 65_536 + 100
    kept = [int(line.removeprefix("line ")) for path in (before, log) for line in path.read_text().splitlines()]
    assert kept == list(range(kept[0], kept[-1] + 1))


def events(told: Sequence[Mapping[str, Any]]) -> list[str]:
    return [each["event"] for each in told]


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
