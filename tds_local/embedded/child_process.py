"""Child processes that end with their parent, however it dies, and removal of servers left by a killed parent."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import psutil

from tds_local.embedded import guardian
from tds_local.embedded.log_rotation import Carrier
from tds_local.embedded.unprivileged_account import Account, identity

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Child(subprocess.Popen[bytes]):
    """A started program; `carrier` copies its output to its log."""

    carrier: Carrier


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    account: Account | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    guard: "guardian.Guardian | None" = None,
) -> Child:
    """Start a program in its own session, appending its output to `log`; it ends when this process ends.

    On Linux the kernel then sends it `death_signal`. `guard` (on other systems always used) also ends its whole process
    group. Callable from any thread. Raises OSError or RuntimeError when it cannot be started.
    """

    def start() -> Child:
        child = _start(argv, log, env=env, cwd=cwd, account=account, death_signal=death_signal)
        watching = guardian.of_this_process() if guard is None and _LIBC is None else guard
        if watching is not None:
            watching.watch(child.pid, death_signal)
        return child

    return _starter().submit(start).result()


@cache
def _starter() -> ThreadPoolExecutor:
    """The one thread that starts children. It lasts as long as this process, since a child ends with its thread."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter of children")


def _start(
    argv: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    account: Account | None,
    death_signal: signal.Signals,
) -> Child:
    carrier = Carrier(log)
    try:
        child = Child(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=carrier.write_end,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_tie_to_parent(death_signal),  # one call into a library already loaded
            **identity(account),
        )
    finally:
        os.close(carrier.write_end)  # the child has its own; where it did not start, the carrier ends
    child.carrier = carrier
    return child


def _tie_to_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """Return the function to run between fork and exec, after the change of account, which clears the setting."""
    if _LIBC is None:
        return None
    libc, parent, number = _LIBC, os.getpid(), int(death_signal)

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the call above could see it
            os._exit(1)

    return tie


def end_leftovers(
    names: tuple[str, ...], directory: Path, *, gently: signal.Signals, patience_seconds: float = 10.0
) -> int:
    """End every process of one of these `names` whose working directory is `directory`. Returns their number.

    A pid file is not used, since its number may belong to another program by now.
    """
    found = {process.pid: process for process in _working_in(names, directory.resolve())}
    for process in found.values():
        with contextlib.suppress(psutil.Error):
            if process.ppid() not in found:  # a server ends its own children
                process.send_signal(gently)
    _, stubborn = psutil.wait_procs(found.values(), timeout=patience_seconds)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=patience_seconds)
    return len(found)


def _working_in(names: tuple[str, ...], directory: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name().startswith(names) and process.cwd() == str(directory):
                yield process
