"""Log files of bounded size: a child's output is read from a pipe and kept in the present file and the previous one.

Since the child writes to a pipe, an unwritable log stops no program, and a full file is rotated while it runs.
"""

import contextlib
import os
import threading
import time
from io import FileIO
from pathlib import Path

from tds_core.observability.logging import get_logger

log = get_logger(__name__)

LARGEST_BYTES = 20_000_000
_CHUNK_BYTES = 65_536
_RETRY_SECONDS = 1.0


class LogFile:
    """A file to append to; at `largest_bytes` it is renamed to `NAME.log.1` and a new one begins.

    Never raises: output that cannot be written is dropped, and its size is noted once the file is writable again.
    """

    def __init__(self, path: Path, *, largest_bytes: int = LARGEST_BYTES) -> None:
        self._path, self._largest_bytes = path, largest_bytes
        self._file: FileIO | None = None
        self._lost_bytes, self._retry_at = 0, 0.0
        self._problem = ""  # of the last write; "" if it succeeded
        self._open()

    def write(self, chunk: bytes) -> None:
        """Append; rotation happens at the end of a line."""
        if self._is_full():
            cut = chunk.find(b"\n") + 1
            self._append(chunk[:cut])
            self._rotate()
            chunk = chunk[cut:]
        self._append(chunk)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = None

    def _is_full(self) -> bool:
        return self._file is not None and self._file.tell() >= self._largest_bytes

    def _rotate(self) -> None:
        self.close()
        with contextlib.suppress(OSError):
            self._path.replace(previous(self._path))
        self._open()

    def _append(self, chunk: bytes) -> None:
        if not chunk:
            return
        if self._file is None and time.monotonic() >= self._retry_at:
            self._open()
        try:
            if self._file is None:
                self._lost_bytes += len(chunk)
                return
            if self._lost_bytes:
                self._file.write(f"[{self._lost_bytes} bytes could not be written: {self._problem}]\n".encode())
            while chunk:  # a nearly full disk takes a part
                chunk = chunk[self._file.write(chunk) :]
            self._lost_bytes, self._problem = 0, ""
        except OSError as error:
            self._lost_bytes += len(chunk)
            self._failed(error)

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = self._path.open("ab", buffering=0)
            self._file.seek(0, os.SEEK_END)
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self.close()
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        before, self._problem = self._problem, error.strerror or str(error)
        if self._problem != before:
            log.warning("log_file_unwritable", path=str(self._path), error=self._problem)


class Carrier:
    """A thread that copies a child's output from a pipe to its log file until the pipe is closed."""

    def __init__(self, path: Path) -> None:
        self.log = LogFile(path)
        self._read_end, self.write_end = os.pipe()
        self._thread = threading.Thread(target=self._carry, name=f"log of {path.stem}", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            os.close(self._read_end)
            os.close(self.write_end)
            self.log.close()
            raise

    def drain(self, patience_seconds: float = 1.0) -> None:
        """Wait until all output of an ended child is in its file."""
        self._thread.join(patience_seconds)

    def _carry(self) -> None:
        try:
            while chunk := os.read(self._read_end, _CHUNK_BYTES):
                with contextlib.suppress(Exception):  # go on: a full pipe would block the child
                    self.log.write(chunk)
        finally:
            self.log.close()
            os.close(self._read_end)


def previous(path: Path) -> Path:
    """The path of the previous log file."""
    return path.with_suffix(".log.1")


def shorten(path: Path) -> None:
    """Rotate a large log that no carrier writes."""
    with contextlib.suppress(OSError):
        if path.stat().st_size >= LARGEST_BYTES:
            path.replace(previous(path))
