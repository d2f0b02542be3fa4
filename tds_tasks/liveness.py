"""Liveness: whether the holder of a lease still runs, told at once where both are on one machine."""

import os
from collections.abc import Iterable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from socket import gethostname

import psutil

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
        name, _, place = holder.rpartition(":")
        if place and place == _place() and not _runs(int(name.rpartition(":")[2])):
            found.append(holder)
    return found


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
