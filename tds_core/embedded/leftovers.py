"""A server that a killed process left behind, about to end or not: it must be gone before the next one starts."""

import contextlib
import signal
from pathlib import Path

import psutil  # type: ignore[import-untyped]


def end_leftover(
    pid_file: Path, *, names: tuple[str, ...], directory: Path, gently: signal.Signals, patience_seconds: float = 10.0
) -> bool:
    """End the process a pid file names if it is still that server; returns whether one was found.

    The id may belong to a stranger by now: only a process so named that works in `directory` is touched.
    """
    try:
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        if not process.name().startswith(names) or process.cwd() != str(directory.resolve()):
            return False
    except (OSError, ValueError, IndexError, psutil.Error):
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(gently)
        try:
            process.wait(patience_seconds)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(patience_seconds)
    return True
