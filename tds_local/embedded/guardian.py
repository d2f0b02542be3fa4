"""The guardian: a process that ends the children and grandchildren of this one when this one is killed."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

GRACE_SECONDS = 5.0


class Guardian:
    """The client of the guardian process, connected by a pipe that the kernel closes when this process dies."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # an inherited pipe would keep its reader waiting
            start_new_session=True,
            cwd="/",
        )

    @property
    def pid(self) -> int:
        """The guardian's own process id."""
        return self._process.pid

    def watch(self, group: int, death_signal: signal.Signals) -> None:
        """End this process group when this process dies: `death_signal`, then SIGKILL after GRACE_SECONDS."""
        self._send(f"watch {group} {int(death_signal)}\n")

    def forget(self, group: int) -> None:
        """Stop watching this group; call it before its id can be reused."""
        self._send(f"forget {group}\n")

    def close(self) -> None:
        """End all watched groups, then the guardian."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process.wait()

    def _send(self, line: str) -> None:
        with contextlib.suppress(OSError):  # without a guardian the work goes on
            assert self._process.stdin is not None  # noqa: S101
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()


@cache
def of_this_process() -> Guardian:
    """Return the guardian of all children on systems without a parent-death signal."""
    return Guardian()


def _guard() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watched: dict[int, int] = {}
    for line in sys.stdin:
        verb, group, *rest = line.split()
        if verb == "watch":
            watched[int(group)] = int(rest[0])
        else:
            watched.pop(int(group), None)
    _end(watched)


def _end(watched: dict[int, int]) -> None:
    for group, number in watched.items():
        _signal(group, number)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and any(_signal(group, 0) for group in watched):
        time.sleep(0.05)
    for group in watched:
        _signal(group, signal.SIGKILL)
    for pid in _all_pids():  # processes may leave the group, but not the session
        with contextlib.suppress(OSError):
            if os.getsid(pid) in watched:
                os.kill(pid, signal.SIGKILL)


def _all_pids() -> list[int]:
    if Path("/proc/self").exists():
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    listing = subprocess.run(["/bin/ps", "-axo", "pid="], capture_output=True, text=True, check=False)
    return [int(line) for line in listing.stdout.split()]


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    _guard()
