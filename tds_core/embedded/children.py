"""How a child process is started so that it cannot outlive its parent, however the parent dies."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tds_core.embedded import guardian
from tds_core.embedded.accounts import Account, identity

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    account: Account | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    guard: "guardian.Guardian | None" = None,
) -> subprocess.Popen[bytes]:
    """Start a program in its own session, its output appended to `log`, and tie its life to ours.

    On Linux the kernel sends `death_signal` to it when the calling *thread* ends, so call this from the main thread
    or one that lives as long as the child. `guard` (elsewhere: always) also ends its whole process group.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_tie_to_parent(death_signal),  # noqa: PLW1509 (one call into a library already loaded)
            **identity(account),
        )
    if guard is None and _LIBC is None:
        guard = guardian.of_this_process()
    if guard is not None:
        guard.watch(child.pid, death_signal)
    return child


def _tie_to_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """Runs between fork and exec, after the change of account, which would clear the setting."""
    if _LIBC is None:
        return None
    libc, parent, number = _LIBC, os.getpid(), int(death_signal)

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the call above could see it
            os._exit(1)

    return tie
