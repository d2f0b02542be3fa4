"""Memory usage: the share of memory in use on the machine or in the container."""

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


def used_share(cgroup: Path = CGROUP) -> float:
    """The share of memory in use, 0 to 1: the machine's or the container's, whichever is larger, without page cache."""
    return max(psutil.virtual_memory().percent / 100, _container_share(cgroup))


def _container_share(cgroup: Path) -> float:
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        counts = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return 0.0
    return 0.0 if limit == "max" else (used - int(counts.get("inactive_file", 0))) / int(limit)
