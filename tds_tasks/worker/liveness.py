"""Liveness: whether the holder of a lease still runs, told at once where both are on one machine.

The heartbeat: while a batch waits on the network, a thread keeps saying that its lease is alive.
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
    """Keep the items leased under `token` alive while the block runs."""
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
            # The lease may run out; then the fence keeps this batch from writing.
            if not is_away(error):
                log.warning("heartbeat_failed", error=type(error).__name__)


_BOOT, _NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


@cache
def _place() -> str:
    """The same for processes that can see one another, another on every other machine; empty where nobody can tell.

    Names of machines repeat, and process ids do within containers: this boot and this view of processes do not.
    """
    try:
        seen = f"{_BOOT.read_text()}{_NAMESPACE.readlink()}"
    except OSError:
        return ""
    return blake2b(seen.encode(), digest_size=4).hexdigest()


def worker_name() -> str:
    """Who holds a lease: host and process for people, and the place where it can be seen."""
    return f"{gethostname()}:{os.getpid()}:{_place()}"


def dead(holders: Iterable[str]) -> list[str]:
    """Those of `holders` (as `worker_name` says them) that ran in this place and run no more."""
    found = []
    for holder in holders:
        name = holder.rpartition(":")[0]
        if is_here(holder) and not _runs(int(name.rpartition(":")[2])):
            found.append(holder)
    return found


def is_here(holder: str) -> bool:
    """Whether `holder` would be seen from this place."""
    place = holder.rpartition(":")[2]
    return bool(place) and place == _place()


def born(pid: int) -> float:
    """When a process began; its id may come again, both together do not. Raises psutil.Error."""
    return float(psutil.Process(pid).create_time())


def kill(holder: str, born_at: float) -> bool:
    """Kill a process of this place and all it started. Returns whether it was there and that very process."""
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
        return True  # somebody else's, so not one that ended
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True  # hidden from us, or gone just now: the next look will tell
