"""Programs kept alive: started in order, restarted when they die, ended with everything they started."""

import contextlib
import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import SubprocessError

import psutil

from tds_core.errors import ProgramFailedError
from tds_core.observability.logging import get_logger
from tds_local.embedded.child_process import Child, spawn
from tds_local.embedded.guardian import Guardian
from tds_local.embedded.startup import tail

log = get_logger(__name__)

_LOOK_SECONDS = 0.2
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 10.0
_HEALTHY_AFTER_SECONDS = 60.0
_GRACE_SECONDS = 15.0
_LOST_WATCH_SECONDS = 1.0  # within so long it is seen that nobody looks after the programs any more


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
    """A started program; `restart_count` says how often it had to be started again.

    `failure_count`: starts in a row that came to nothing.
    """

    program: Program
    process: Child
    started_at: float
    log_start: int = 0  # bytes its log had before
    restart_count: int = 0
    quick_death_count: int = 0
    failure_count: int = 0
    due_at: float | None = None  # when to start it again; None while it runs

    @property
    def pid(self) -> int:
        """The process id, which is also its process group's and session's."""
        return self.process.pid


class Supervisor:
    """Keeps programs running until `stop`; one thread looks after all of them, five times a second.

    `keepers`, by name, start again what else is ours and has ended; each has a thread of its own, since a server may
    take minutes to come back. Whatever goes wrong for one is told and tried again; the others are looked after.
    """

    def __init__(
        self,
        *,
        logs: Path,
        env: Mapping[str, str],
        guard: Guardian,
        keepers: Mapping[str, Callable[[], object]] | None = None,
    ) -> None:
        self._logs, self._env, self._guard, self._keepers = logs, dict(env), guard, dict(keepers or {})
        self._running: dict[str, Running] = {}
        self._ending, self._hurry = threading.Event(), threading.Event()
        self._lock = threading.RLock()
        self._watches: list[threading.Thread] = []
        self._problems: dict[str, str] = {}  # what was told of last, by name

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
        """Start a program without waiting for it; raises ProgramFailedError when that cannot be done."""
        since = _size(self.log_of(program.name))
        try:
            running = Running(program, self._spawn(program), time.monotonic(), log_start=since)
        except (OSError, RuntimeError, SubprocessError) as error:
            raise ProgramFailedError(f"{program.name} could not be started: {error}") from error
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
        if self._watches:
            return
        looks = {"programs": self._look_at_all, **self._keepers}
        for name, look in looks.items():
            watch = threading.Thread(target=self._watch, args=(name, look), name=f"watch over {name}", daemon=True)
            watch.start()
            self._watches.append(watch)

    def wait(self) -> None:
        """Wait for a signal whose handler raises; raises ProgramFailedError once something is not looked after."""
        while True:
            for watch in self._watches:
                if not watch.is_alive():
                    raise ProgramFailedError(f"The {watch.name} has ended; what dies would not be started again.")
            self._ending.wait(_LOST_WATCH_SECONDS)

    def hurry(self) -> None:
        """Cut the grace of a stop that is under way."""
        self._hurry.set()

    def stop(self, grace_seconds: float = _GRACE_SECONDS) -> None:
        """End all programs, last started first, and everything they started; safe to call twice."""
        self._ending.set()
        deadline = time.monotonic() + grace_seconds
        for watch in self._watches:
            while watch.is_alive() and time.monotonic() < deadline and not self._hurry.is_set():
                watch.join(_LOOK_SECONDS)
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
            self._attempt(each.program.name, "program_end_failed", lambda each=each: self._bury(each))

    def _spawn(self, program: Program) -> Child:
        env = {**self._env, **program.env, "TDS_PROCESS": program.name}
        return spawn(program.argv, log=self.log_of(program.name), env=env, guard=self._guard)

    def _bury(self, running: Running) -> None:
        """End what is left of a program's session, then let its process id go."""
        end_session(running.pid)
        self._guard.forget(running.pid)  # before the id is free for others
        running.process.wait()
        running.process.carrier.drain()
        if os.getpid() == 1:  # in a container what its programs leave behind becomes ours to collect
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-running.pid, os.WNOHANG)[0]:
                    pass

    def _failure(self, running: Running, what: str) -> ProgramFailedError:
        name, path = running.program.name, self.log_of(running.program.name)
        if has_ended(running.pid):
            running.process.carrier.drain()
        end = "\n".join(tail(path, running.log_start).strip().splitlines()[-12:])
        return ProgramFailedError(f"{name} {what}. The end of {path}:\n{end}")

    def _watch(self, name: str, look: Callable[[], object]) -> None:
        failure_count = 0
        while not self._ending.wait(_pause(failure_count) if failure_count else _LOOK_SECONDS):
            went_well = self._attempt(name, "embedded_server_restart_failed", look)
            failure_count = 0 if went_well else failure_count + 1

    def _attempt(self, name: str, event: str, act: Callable[[], object]) -> bool:
        """Whether something went well; what went wrong is told when it is news."""
        try:
            act()
        except Exception as error:
            self._report(name, event, f"{type(error).__name__}: {error}")
            return False
        self._report(name, "", "")
        return True

    def _report(self, name: str, event: str, problem: str) -> None:
        """Tell of a problem once, and of its end."""
        before = self._problems.get(name, "")
        if problem == before:
            return
        self._problems[name] = problem
        with contextlib.suppress(Exception):  # a terminal that went away ends no watch
            if problem:
                log.warning(event, program=name, error=problem)
            else:
                log.info("program_problem_ended", program=name, error=before)

    def _look_at_all(self) -> None:
        for running in list(self._running.values()):
            name = running.program.name
            self._attempt(f"{name}'s watch", "program_watch_failed", lambda running=running: self._look_at(running))

    def _look_at(self, running: Running) -> None:
        now, name = time.monotonic(), running.program.name
        if running.due_at is None and has_ended(running.pid):
            self._bury(running)
            # Who was killed did not fail: it is no more likely to die the next time.
            long_lived = now - running.started_at > _HEALTHY_AFTER_SECONDS
            blameless = long_lived or running.process.returncode == -signal.SIGKILL
            running.quick_death_count = 0 if blameless else running.quick_death_count + 1
            pause = _pause(running.quick_death_count)
            running.due_at = now + pause
            log.warning("program_ended", program=name, exit_code=running.process.returncode, restart_in_seconds=pause)
        elif running.due_at is not None and now >= running.due_at:
            self._start_again(running)

    def _start_again(self, running: Running) -> None:
        def start() -> None:
            running.process = self._spawn(running.program)

        now, name = time.monotonic(), running.program.name
        if not self._attempt(name, "program_start_failed", start):
            running.failure_count += 1
            running.due_at = now + _pause(running.failure_count)
            return
        running.started_at, running.due_at, running.failure_count = now, None, 0
        running.restart_count += 1
        log.info("program_restarted", program=name, pid=running.pid, restart_count=running.restart_count)


def _pause(count: int) -> float:
    """Seconds before the next start, after so many that did not last."""
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** max(min(count, 30) - 1, 0), _LONGEST_PAUSE_SECONDS)


def has_ended(pid: int) -> bool:
    """Whether our child has ended, without letting its id go, so that its group can still be named."""
    if sys.platform == "linux":  # needs no file, of which there may be too many
        try:
            return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def end_session(session: int, patience_seconds: float = 3.0) -> None:
    """Kill every process of a session, also those outside its leader's process group, and see them gone."""
    with contextlib.suppress(OSError):
        os.killpg(session, signal.SIGKILL)
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
