"""How full the memory is: the machine's, and that of the container this process may be confined to."""

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


def used_share(cgroup: Path = CGROUP) -> float:
    """The fuller of both, from 0 to 1. What the system only keeps in memory as long as there is room is not counted."""
    return max(psutil.virtual_memory().percent / 100, _container_share(cgroup))


def _container_share(cgroup: Path) -> float:
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        counts = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return 0.0
    return 0.0 if limit == "max" else (used - int(counts.get("inactive_file", 0))) / int(limit)
