"""Start of embedded servers: free ports, waiting until a server responds, and the reason why one does not."""

import os
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path

from tds_core.errors import EmbeddedServerError
from tds_local.embedded.child_process import Child

LOOPBACK = "127.0.0.1"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether the port can be bound."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose_port(memory: Path) -> int:
    """Return the port remembered in a file if it is still free, else a new one, remembered for next time."""
    try:
        remembered = int(memory.read_text())
    except (OSError, ValueError):
        remembered = 0
    if remembered and is_free(remembered):
        return remembered
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    memory.write_text(f"{port}\n")
    return port


# Phrases in a server's log, their meaning, and whether a retry (on another port) can help.
_KNOWN = (
    ("No space left on device", "the disk is full; free some space.", False),
    ("pre-existing shared memory block", "processes of a killed server are still ending.", True),
    ("Address already in use", "another program took its port.", True),
    ("could not bind", "another program took its port.", True),
    ("database files are incompatible", "its files were made by another version.", False),
    ("Permission denied", "its account may not use its files.", False),
    ("could not map anonymous shared memory", "there is not enough memory.", False),
    ("Bad file format reading the append only file", "its append-only file is damaged.", False),
)
_TAIL_BYTES = 4000
# Files a start opens at once: pipes to a child, its log, a probe of its port.
_FILES_OF_A_START = 12


class StartFailure(Exception):  # noqa: N818 (never leaves this package)
    """A server did not start; `is_passing`: a retry may succeed."""

    def __init__(self, reason: str, *, is_passing: bool) -> None:
        super().__init__(reason)
        self.is_passing = is_passing


def check_files(server: str) -> None:
    """Raise `EmbeddedServerError` if too few files may be opened, which would later show as misleading errors."""
    opened = []
    try:
        for _ in range(_FILES_OF_A_START):
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        raise EmbeddedServerError(
            f"The embedded {server} cannot be started: {error.strerror} ({most} are allowed in this process)."
            " Close some, or allow more: `ulimit -n`, or LimitNOFILE= of the service."
        ) from None
    finally:
        for descriptor in opened:
            os.close(descriptor)


def known_port(port: int) -> int:
    """The port a server had, 0 for none. Raises `StartFailure` while another program uses it: clients know no other."""
    if port and not is_free(port):
        raise StartFailure(f"another program took its port, {port}.", is_passing=True)
    return port


def wait_until_ready(process: Child, log: Path, answers: Callable[[], bool], *, seconds: float, since: int = 0) -> None:
    """Return once `answers()` is true; raise StartFailure when the process ends or the time is up.

    `since`: size of the log before this start, so that old errors are not taken for new ones.
    """
    deadline, pause = time.monotonic() + seconds, 0.01
    while True:
        if process.poll() is not None:
            process.carrier.drain()
            raise explain(log, since)
        if answers():
            return
        if time.monotonic() > deadline:
            raise StartFailure(f"no answer within {seconds:.0f} seconds; see {log}", is_passing=False)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def explain(log: Path, since: int = 0) -> StartFailure:
    """Return the failure of a server that ended, with its reason from the log."""
    text = tail(log, since)
    for phrase, meaning, is_passing in _KNOWN:
        if phrase in text:
            return StartFailure(f"{meaning} (log: {log})", is_passing=is_passing)
    last = text.strip().splitlines()[-3:]
    return StartFailure(f"it ended at once; the end of {log}:\n" + "\n".join(last), is_passing=False)


def tail(log: Path, since: int = 0) -> str:
    """Return the end of a log, at most what was written after `since` bytes."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            since = since if since <= size else 0  # another file has begun since
            file.seek(max(since, size - _TAIL_BYTES, 0))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
