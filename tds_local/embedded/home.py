"""The home directory of one installation: its lock and its generated secrets."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from tds_core.config.sources import SECRETS_FILE
from tds_core.errors import AlreadyRunningError, EmbeddedServerError


class Ownership:
    """The exclusive right to run something in a directory; released when its process ends, however it ends."""

    def __init__(self, path: Path, *, what: str) -> None:
        self._path, self._what = path, what
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take the lock. Raises `AlreadyRunningError` naming the process that holds it."""
        make_directory(self._path.parent)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise AlreadyRunningError(
                f"{self._what} is already running in {self._path.parent} (process {owner}). "
                f"Stop it with: kill {owner}; or set TDS_HOME to another directory."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def make_directory(path: Path) -> Path:
    """Create a directory with its parents. Raises `EmbeddedServerError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedServerError(f"Cannot make {path}: {error.strerror}. Set TDS_HOME to a writable place.") from None
    return path


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically; only this account may read it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def secret_of_home(home: Path, name: str, make: Callable[[], str] = secrets.token_urlsafe) -> str:
    """Return a secret of this home, generated and stored at first use. Raises `EmbeddedServerError`."""
    path = make_directory(home) / SECRETS_FILE
    with _locked(home / ".secrets.lock"):
        try:
            stored = json.loads(path.read_text()) if path.exists() else {}
        except ValueError:
            raise EmbeddedServerError(f"{path} is damaged. Restore it: what is encrypted needs its keys.") from None
        if name not in stored:
            stored[name] = make()
            write_private(path, json.dumps(stored, indent=1) + "\n")
        return str(stored[name])


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
