"""The supervisor: starts programs in order, restarts them when they end, and stops them with all their children."""

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

from tds_core.errors import NotFoundError, ProgramFailedError
from tds_core.observability.logging import get_logger
from tds_local.embedded.child_process import Child, spawn
from tds_local.embedded.guardian import Guardian
from tds_local.embedded.readiness import tail

log = get_logger(__name__)

_CHECK_SECONDS = 0.2
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 10.0
_HEALTHY_AFTER_SECONDS = 60.0
_KILLED_AT_START_SECONDS = 5.0  # what is killed sooner may be again: it takes more memory than there is
_GRACE_SECONDS = 15.0
_THREAD_CHECK_SECONDS = 1.0  # how often `wait` checks that the supervising threads run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
    """One program of the stack: its name (also of its log), command, and readiness probe.

    `reload_signal`: what makes it load its code again without an end; None: it ends and is started.
    `serving`: how those of its processes are called that have loaded their code and serve.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    is_ready: Callable[[], bool] | None = None
    ready_seconds: float = 60.0
    reload_signal: signal.Signals | None = None
    serving: str = ""


@dataclasses.dataclass
class Running:
    """A started program. `failure_count`: failed starts in a row."""

    program: Program
    process: Child
    started_at: float
    log_start: int = 0  # size of its log before this start
    restart_count: int = 0
    quick_death_count: int = 0
    failure_count: int = 0
    due_at: float | None = None  # when to start it again; None while it runs
    is_restarting: bool = False  # it was asked to end, and is no failure

    @property
    def pid(self) -> int:
        """The process id, which is also its process group's and session's."""
        return self.process.pid


@dataclasses.dataclass(frozen=True, slots=True)
class ProgramStatus:
    """How a program does, with its descendants. `pid`: None while it waits for its next start.

    `serving`: the processes of a server that have loaded its code and serve.
    """

    name: str
    state: str
    pid: int | None
    seconds: float
    restart_count: int
    memory_bytes: int
    serving: list[int]
    log: str


class Supervisor:
    """Keeps programs running until `stop`; one thread checks all of them five times a second.

    `keepers`, by name, restart embedded servers that ended; each runs in its own thread, since a server may take
    minutes to start. A failure of one is logged and retried without affecting the others.
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
        self._threads: list[threading.Thread] = []
        self._problems: dict[str, str] = {}  # the last problem logged, by name

    @property
    def running(self) -> Mapping[str, Running]:
        """Every program by name, in the order of their start."""
        return dict(self._running)

    def log_of(self, name: str) -> Path:
        """The log file of a program."""
        return self._logs / f"{name}.log"

    def start(self, program: Program) -> Running:
        """Launch one program, wait until it is ready, and supervise it from then on."""
        running = self.launch(program)
        self.await_ready(running)
        self.supervise()
        return running

    def launch(self, program: Program) -> Running:
        """Start a program without waiting until it is ready. Raises `ProgramFailedError`."""
        since = _size(self.log_of(program.name))
        try:
            running = Running(program, self._spawn(program), time.monotonic(), log_start=since)
        except (OSError, RuntimeError, SubprocessError) as error:
            raise ProgramFailedError(f"{program.name} could not be started: {error}") from error
        with self._lock:
            self._running[program.name] = running
        return running

    def await_ready(self, running: Running) -> None:
        """Wait until a launched program is ready. Raises `ProgramFailedError` with the end of its log."""
        program = running.program
        while program.is_ready is not None and not program.is_ready():
            if has_ended(running.pid):
                raise self._failure(running, "ended before it was ready")
            if time.monotonic() > running.started_at + program.ready_seconds:
                raise self._failure(running, f"was not ready after {program.ready_seconds:.0f} seconds")
            time.sleep(0.05)

    def supervise(self) -> None:
        """Start the threads that restart ended programs and servers."""
        if self._threads:
            return
        looks = {"programs": self._look_at_all, **self._keepers}
        for name, look in looks.items():
            watch = threading.Thread(target=self._watch, args=(name, look), name=f"watch over {name}", daemon=True)
            watch.start()
            self._threads.append(watch)

    def wait(self) -> None:
        """Wait for a signal whose handler raises. Raises `ProgramFailedError` if a supervising thread has ended."""
        while True:
            for watch in self._threads:
                if not watch.is_alive():
                    raise ProgramFailedError(f"The {watch.name} has ended; what dies would not be started again.")
            self._ending.wait(_THREAD_CHECK_SECONDS)

    def statuses(self) -> list[ProgramStatus]:
        """How each program does, in the order of their start."""
        return [self._status(each) for each in list(self._running.values())]

    def restart(self, name: str) -> str:
        """Have a program load its code again, at once. Raises NotFoundError. Returns what is done.

        It "restarts": ends in order, so that work in hand is finished or handed back, and is started like one that
        ended. Or it "reloads" while it serves. One that "starts" is left alone, since it would take turns with nobody:
        ask again.
        """
        running = self._running.get(name)
        if running is None:
            raise NotFoundError(f"No program is called {name}. There are {', '.join(self._running)}.")
        with self._lock, contextlib.suppress(ProcessLookupError):
            if running.due_at is not None:
                running.due_at = time.monotonic()
            elif running.program.reload_signal is not None:
                if not _use_of(running)[1]:
                    return "starts"
                os.kill(running.pid, running.program.reload_signal)
                return "reloads"
            else:
                running.is_restarting = True
                os.kill(running.pid, signal.SIGTERM)
        return "restarts"

    def _status(self, running: Running) -> ProgramStatus:
        waits = running.due_at is not None
        memory_bytes, serving = (0, []) if waits else _use_of(running)
        starts = bool(running.program.serving) and not serving
        state = "waits to start again" if waits else "ends" if running.is_restarting else "starts" if starts else "runs"
        return ProgramStatus(
            name=running.program.name, state=state, pid=None if waits else running.pid,
            seconds=round(time.monotonic() - running.started_at, 1), restart_count=running.restart_count,
            memory_bytes=memory_bytes, serving=serving, log=str(self.log_of(running.program.name)),
        )  # fmt: skip

    def hurry(self) -> None:
        """End the grace period of a running `stop`."""
        self._hurry.set()

    def stop(self, grace_seconds: float = _GRACE_SECONDS) -> None:
        """Stop all programs and their children, the last started first. Safe to call twice."""
        self._ending.set()
        deadline = time.monotonic() + grace_seconds
        for watch in self._threads:
            while watch.is_alive() and time.monotonic() < deadline and not self._hurry.is_set():
                watch.join(_CHECK_SECONDS)
        with self._lock:
            ending = [each for each in reversed(self._running.values()) if each.due_at is None]
            self._running.clear()
        for each in ending:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGTERM)  # to the leader only, which ends its children in order
        deadline = time.monotonic() + grace_seconds
        for each in ending:
            while not has_ended(each.pid) and time.monotonic() < deadline and not self._hurry.is_set():
                time.sleep(0.02)
            self._attempt(each.program.name, "program_end_failed", lambda each=each: self._clean_up(each))

    def _spawn(self, program: Program) -> Child:
        env = {**self._env, **program.env, "TDS_PROCESS": program.name}
        return spawn(program.argv, log=self.log_of(program.name), env=env, guard=self._guard)

    def _clean_up(self, running: Running) -> None:
        """Kill what is left of a program's session, then reap its process."""
        end_session(running.pid)
        self._guard.forget(running.pid)  # before the id is free for others
        running.process.wait()
        running.process.carrier.drain()
        if os.getpid() == 1:  # as init of a container, reap orphans too
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
        while not self._ending.wait(_pause(failure_count) if failure_count else _CHECK_SECONDS):
            went_well = self._attempt(name, "embedded_server_restart_failed", look)
            failure_count = 0 if went_well else failure_count + 1

    def _attempt(self, name: str, event: str, act: Callable[[], object]) -> bool:
        """Call `act`. Returns whether it succeeded; a failure is logged when it is new."""
        try:
            act()
        except Exception as error:
            self._report(name, event, f"{type(error).__name__}: {error}")
            return False
        self._report(name, "", "")
        return True

    def _report(self, name: str, event: str, problem: str) -> None:
        """Log a problem once, and its end."""
        before = self._problems.get(name, "")
        if problem == before:
            return
        self._problems[name] = problem
        with contextlib.suppress(Exception):  # a closed terminal must not end the thread
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
            self._clean_up(running)
            # A kill from outside is no failure of the program.
            seconds, was_killed = now - running.started_at, running.process.returncode == -signal.SIGKILL
            is_healthy = seconds > _HEALTHY_AFTER_SECONDS or running.is_restarting or was_killed
            running.quick_death_count = 0 if is_healthy else running.quick_death_count + 1
            at_once = running.is_restarting or (was_killed and seconds > _KILLED_AT_START_SECONDS)
            pause = 0.0 if at_once else _pause(running.quick_death_count)
            running.due_at, running.is_restarting = now + pause, False
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


def _use_of(running: Running) -> tuple[int, list[int]]:
    """Resident bytes of a program's processes, pages they share counted for each; and those that serve."""
    memory_bytes, serving, wanted = 0, [], running.program.serving
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(running.pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                memory_bytes += process.memory_info().rss
                # Elsewhere than on Linux no process tells its name: there, each child counts.
                if wanted and (process.name() == wanted or (sys.platform != "linux" and process != parent)):
                    serving.append(process.pid)
    return memory_bytes, serving


def _pause(count: int) -> float:
    """Seconds before the next start, after `count` short-lived ones."""
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** max(min(count, 30) - 1, 0), _LONGEST_PAUSE_SECONDS)


def has_ended(pid: int) -> bool:
    """Whether a child has ended, without reaping it, so that its process group keeps its id."""
    if sys.platform == "linux":  # needs no file descriptor
        try:
            return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def end_session(session: int, patience_seconds: float = 3.0) -> None:
    """Kill every process of a session, also outside its leader's process group, and wait until they are gone."""
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
