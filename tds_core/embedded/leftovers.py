"""Servers that a killed process left behind, ending or not: they must be gone before the next one starts."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil


def end_leftovers(
    names: tuple[str, ...], directory: Path, *, gently: signal.Signals, patience_seconds: float = 10.0
) -> int:
    """End every server process so named that works in `directory`; returns how many there were.

    They are found by where they work, not by a pid file, whose number may belong to a stranger by now.
    """
    found = {process.pid: process for process in _working_in(names, directory.resolve())}
    for process in found.values():
        with contextlib.suppress(psutil.Error):
            if process.ppid() not in found:  # a server tells its own children
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
