"""Liveness: whether the holder of a lease still runs, which is known at once where both are on one machine.

While a batch waits on the network, a thread renews its lease.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from socket import gethostname
from uuid import UUID

import psutil
import structlog
from sqlalchemy.exc import SQLAlchemyError

from tds_core.database_errors import is_away
from tds_core.queue import items
from tds_tasks.context import scope, settings

log = structlog.get_logger(__name__)


@contextmanager
def beating(token: UUID) -> Iterator[None]:
    """Renew the lease of the items leased under `token` while the block runs."""
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(token, stop), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _beat(token: UUID, stop: threading.Event) -> None:
    while not stop.wait(settings().heartbeat_seconds):
        try:
            with scope() as session:
                items.heartbeat(session, token=token, lease_seconds=settings().lease_seconds)
        except SQLAlchemyError as error:
            # The lease may expire; then the fence keeps this batch from writing.
            if not is_away(error):
                log.warning("heartbeat_failed", error=type(error).__name__)


_BOOT, _NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


@cache
def _place() -> str:
    """A key of this boot and this process namespace; empty where the system does not show them.

    Processes have the same key only if they can see each other. Host names repeat, and so do process ids in containers.
    """
    try:
        seen = f"{_BOOT.read_text()}{_NAMESPACE.readlink()}"
    except OSError:
        return ""
    return blake2b(seen.encode(), digest_size=4).hexdigest()


def worker_name() -> str:
    """The name of this process as the holder of a lease: host and process id, and the key of where they are visible."""
    return f"{gethostname()}:{os.getpid()}:{_place()}"


def dead(holders: Iterable[str]) -> list[str]:
    """The `holders`, in the form of `worker_name`, that would be visible from this process and do not run any more."""
    ended = []
    for holder in holders:
        name = holder.rpartition(":")[0]
        if is_here(holder) and not _runs(int(name.rpartition(":")[2])):
            ended.append(holder)
    return ended


def is_here(holder: str) -> bool:
    """Whether this process could see `holder` if it ran."""
    place = holder.rpartition(":")[2]
    return bool(place) and place == _place()


def born(pid: int) -> float:
    """When a process began. Its id may be used again, the two together are not. Raises psutil.Error."""
    return float(psutil.Process(pid).create_time())


def kill(holder: str, born_at: float) -> bool:
    """Kill a visible process, if it began at `born_at`, and all its children. Returns whether it was that process."""
    try:
        process = psutil.Process(int(holder.split(":")[1]))
        if not is_here(holder) or process.create_time() != born_at:
            return False
        family = [process, *process.children(recursive=True)]
        for each in family:
            with suppress(psutil.Error):
                each.kill()
    except (psutil.Error, ValueError, IndexError):
        return False
    return True


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it belongs to another user, so it runs
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True  # hidden, or just ended: the next call decides
