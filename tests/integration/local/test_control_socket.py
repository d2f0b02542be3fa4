"""A running stack is asked how it does, and told to restart a program, by those of its own account."""

import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tds_core.errors import NotFoundError, NotRunningError
from tds_local.control_socket import ControlSocket, ask, socket_path
from tds_local.embedded.guardian import Guardian
from tds_local.supervisor import Program, Supervisor

SLEEPER = "import time; time.sleep(600)"
# Serves, loads again on SIGHUP, and says so.
RELOADER = """
import pathlib, signal, time
pathlib.Path("/proc/self/comm").write_text("serves")
signal.signal(signal.SIGHUP, lambda *_: print("loads again", flush=True))
print("ready", flush=True)
while True:
    time.sleep(600)
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisor with three programs, which answers at the control socket of `tmp_path`."""
    guard = Guardian()
    supervisor = Supervisor(logs=tmp_path, env=dict(os.environ), guard=guard)
    ready = lambda: b"ready" in supervisor.log_of("reloader").read_bytes()  # noqa: E731
    supervisor.start(Program(name="sleeper", argv=[sys.executable, "-c", SLEEPER]))
    supervisor.start(
        Program(
            name="reloader",
            argv=[sys.executable, "-c", RELOADER],
            is_ready=ready,
            reload_signal=signal.SIGHUP,
            serving="serves",
        )
    )
    # Will be one that loads again, but does not serve yet.
    supervisor.start(
        Program(name="starter", argv=[sys.executable, "-c", SLEEPER], reload_signal=signal.SIGHUP, serving="serves")
    )
    control = ControlSocket(tmp_path, supervisor, {})
    control.open()
    yield supervisor
    control.close()
    supervisor.stop(grace_seconds=1)
    guard.close()


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_it_tells_how_each_program_does(supervisor: Supervisor, tmp_path: Path) -> None:
    found = ask(tmp_path, "status")
    assert found["pid"] == os.getpid()
    assert [(each["name"], each["state"], each["restart_count"]) for each in found["programs"]] == [
        ("sleeper", "runs", 0),
        ("reloader", "runs", 0),
        ("starter", "starts", 0),
    ]
    assert all(each["pid"] for each in found["programs"])
    # One that has only just begun is not there as a whole yet.
    assert wait_for(lambda: all(each["memory_bytes"] > 1_000_000 for each in ask(tmp_path, "status")["programs"]))


def test_a_restarted_program_is_another_process_and_no_failure(supervisor: Supervisor, tmp_path: Path) -> None:
    before = supervisor.running["sleeper"].pid
    assert ask(tmp_path, "restart", program="sleeper") == {"done": "restarts"}
    assert wait_for(lambda: supervisor.running["sleeper"].restart_count == 1)
    running = supervisor.running["sleeper"]
    assert (running.pid != before, running.quick_death_count) == (True, 0)


def test_a_program_that_can_reload_stays_the_same_process(supervisor: Supervisor, tmp_path: Path) -> None:
    before = supervisor.running["reloader"].pid
    assert ask(tmp_path, "restart", program="reloader") == {"done": "reloads"}
    assert wait_for(lambda: b"loads again" in supervisor.log_of("reloader").read_bytes())
    assert supervisor.running["reloader"].pid == before


def test_a_program_that_does_not_serve_yet_is_left_alone(supervisor: Supervisor, tmp_path: Path) -> None:
    assert ask(tmp_path, "restart", program="starter") == {"done": "starts"}
    assert ask(tmp_path, "status")["programs"][2]["pid"] == supervisor.running["starter"].pid


def test_what_is_not_understood_is_answered_with_what_there_is(supervisor: Supervisor, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"called api.* There are sleeper, reloader, starter"):
        ask(tmp_path, "restart", program="api")
    with pytest.raises(NotFoundError, match="ask status, stop or restart"):
        ask(tmp_path, "explode")
    for garbage in (b"\xff\n", b"[]\n", b'{"ask": 1}\n', b"{" * 70_000):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(socket_path(tmp_path)))
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            assert b'"error"' in connection.recv(1000), garbage[:20]
    assert ask(tmp_path, "status")["programs"]


def test_only_its_account_may_open_it_and_its_end_is_told(supervisor: Supervisor, tmp_path: Path) -> None:
    path = socket_path(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(NotRunningError, match="tds up"):
        ask(tmp_path / "elsewhere", "status")


def test_a_home_with_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    assert len(str(socket_path(home))) < 100
    assert socket_path(home) != socket_path(tmp_path / ("wide" * 30))
