"""Programs kept alive: started in order, restarted when they die, ended with everything they started."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from tds_core.embedded.children import spawn
from tds_core.embedded.guardian import Guardian
from tds_core.embedded.startup import tail
from tds_core.errors import ProgramFailedError
from tds_core.logging import get_logger

log = get_logger(__name__)

_LOOK_SECONDS = 0.2
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 10.0
_HEALTHY_AFTER_SECONDS = 60.0
_GRACE_SECONDS = 15.0
_LARGEST_LOG_BYTES = 20_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """One program of the stack: its name (also of its log), its command, and how to see that it is ready."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    is_ready: Callable[[], bool] | None = None
    ready_seconds: float = 60.0


@dataclasses.dataclass
class Running:
    """A started program; `restart_count` says how often it had to be started again."""

    program: Program
    process: subprocess.Popen[bytes]
    started_at: float
    log_start: int = 0  # bytes its log had before
    restart_count: int = 0
    quick_death_count: int = 0
    due_at: float | None = None  # when to start it again; None while it runs

    @property
    def pid(self) -> int:
        """The process id, which is also its process group's and session's."""
        return self.process.pid


class Supervisor:
    """Keeps programs running until `stop`; a thread looks after them five times a second."""

    def __init__(
        self, *, logs: Path, env: Mapping[str, str], guard: Guardian, keepers: Sequence[Callable[[], object]] = ()
    ) -> None:
        self._logs, self._env, self._guard, self._keepers = logs, dict(env), guard, keepers
        self._running: dict[str, Running] = {}
        self._ending, self._hurry = threading.Event(), threading.Event()
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._look, name="supervisor", daemon=True)

    @property
    def running(self) -> Mapping[str, Running]:
        """Every program by name, in the order of their start."""
        return dict(self._running)

    def log_of(self, name: str) -> Path:
        """Where a program's output goes."""
        return self._logs / f"{name}.log"

    def start(self, program: Program) -> Running:
        """Launch one program, wait until it is ready and look after it from then on."""
        running = self.launch(program)
        self.await_ready(running)
        self.look_after()
        return running

    def launch(self, program: Program) -> Running:
        """Start a program without waiting for it."""
        _shorten(self.log_of(program.name))
        since = _size(self.log_of(program.name))
        running = Running(program, self._spawn(program), time.monotonic(), log_start=since)
        with self._lock:
            self._running[program.name] = running
        return running

    def await_ready(self, running: Running) -> None:
        """Return once a launched program is ready; raises ProgramFailedError with the end of its log."""
        program = running.program
        while program.is_ready is not None and not program.is_ready():
            if has_ended(running.pid):
                raise self._failure(running, "ended before it was ready")
            if time.monotonic() > running.started_at + program.ready_seconds:
                raise self._failure(running, f"was not ready after {program.ready_seconds:.0f} seconds")
            time.sleep(0.05)

    def look_after(self) -> None:
        """Restart from now on what ends."""
        if not self._thread.is_alive():
            self._thread.start()

    def hurry(self) -> None:
        """Cut the grace of a stop that is under way."""
        self._hurry.set()

    def stop(self, grace_seconds: float = _GRACE_SECONDS) -> None:
        """End all programs, last started first, and everything they started; safe to call twice."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            ending = [each for each in reversed(self._running.values()) if each.due_at is None]
            self._running.clear()
        for each in ending:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGTERM)  # to the leader only: it ends its own children in order
        deadline = time.monotonic() + grace_seconds
        for each in ending:
            while not has_ended(each.pid) and time.monotonic() < deadline and not self._hurry.is_set():
                time.sleep(0.02)
            self._bury(each)

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        env = {**self._env, **program.env, "TDS_PROCESS": program.name}
        return spawn(program.argv, log=self.log_of(program.name), env=env, guard=self._guard)

    def _bury(self, running: Running) -> None:
        """End what is left of a program's session, then let its process id go."""
        end_session(running.pid)
        self._guard.forget(running.pid)  # before the id is free for others
        running.process.wait()
        if os.getpid() == 1:  # in a container what its programs leave behind becomes ours to collect
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-running.pid, os.WNOHANG)[0]:
                    pass

    def _failure(self, running: Running, what: str) -> ProgramFailedError:
        name, path = running.program.name, self.log_of(running.program.name)
        end = "\n".join(tail(path, running.log_start).strip().splitlines()[-12:])
        return ProgramFailedError(f"{name} {what}. The end of {path}:\n{end}")

    def _look(self) -> None:
        while not self._ending.wait(_LOOK_SECONDS):
            for running in list(self._running.values()):
                self._look_at(running)
            for keep in self._keepers:
                try:
                    keep()
                except Exception as error:
                    log.warning("embedded_server_restart_failed", error=str(error))

    def _look_at(self, running: Running) -> None:
        now, name = time.monotonic(), running.program.name
        if running.due_at is None and has_ended(running.pid):
            self._bury(running)
            # Who was killed did not fail: it is no more likely to die the next time.
            long_lived = now - running.started_at > _HEALTHY_AFTER_SECONDS
            blameless = long_lived or running.process.returncode == -signal.SIGKILL
            running.quick_death_count = 0 if blameless else running.quick_death_count + 1
            pause = min(_FIRST_PAUSE_SECONDS * 2 ** max(running.quick_death_count - 1, 0), _LONGEST_PAUSE_SECONDS)
            running.due_at = now + pause
            log.warning("program_ended", program=name, exit_code=running.process.returncode, restart_in_seconds=pause)
        elif running.due_at is not None and now >= running.due_at:
            _shorten(self.log_of(name))
            running.process, running.started_at, running.due_at = self._spawn(running.program), now, None
            running.restart_count += 1
            log.info("program_restarted", program=name, pid=running.pid, restart_count=running.restart_count)


def has_ended(pid: int) -> bool:
    """Whether our child has ended, without letting its id go, so that its group can still be named."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def end_session(session: int, patience_seconds: float = 3.0) -> None:
    """Kill every process of a session, also those outside its leader's process group, and see them gone."""
    deadline = time.monotonic() + patience_seconds
    while (members := _living_members(session)) and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            os.killpg(session, signal.SIGKILL)
        for process in members:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.01)


def _living_members(session: int) -> list[psutil.Process]:
    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
    return members


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _shorten(path: Path) -> None:
    """Keep one older log, so that a year of restarts does not fill the disk."""
    if _size(path) > _LARGEST_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
