"""What one scrape of this host's processes says: the counts of the living, and of those who were here before.

Every process counts in files of its own under PROMETHEUS_MULTIPROC_DIR. Those of a process that ended are added to one
file for all who ended, so that counters never fall and the directory does not grow with every process that is replaced;
gauges of who ended are dropped.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from prometheus_client import CollectorRegistry, Metric, multiprocess
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.registry import REGISTRY, Collector

_files: Any = MmapedDict  # they have no annotations of their own
_merge: Any = multiprocess.MultiProcessCollector

#: In the name of a file, where else the process id stands.
DEPARTED = "departed"
LOCK = "scraping.lock"


def scraped_registry() -> CollectorRegistry:
    """A registry that answers for all processes of this host when they share PROMETHEUS_MULTIPROC_DIR, else for this
    one. New each time, so a caller may add collectors of its own.
    """
    registry = CollectorRegistry()
    if directory := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry.register(ProcessCounts(Path(directory)))
    else:
        registry.register(REGISTRY)
    return registry


class ProcessCounts(Collector):
    """Counts of all processes that use a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def describe(self) -> Iterable[Metric]:
        """Nothing: who registers it should not read the files for the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The counts as of now."""
        with _alone(self._directory):
            sweep(self._directory)
            collector = _merge(None, str(self._directory))
            # Flower may use the directory too, and tells of every worker and task it ever saw.
            yield from [family for family in collector.collect() if family.name.startswith("tds_")]


def sweep(directory: Path) -> int:
    """Take over the counts of processes that ended. Returns how many files went; the caller holds the lock."""
    gone = [path for path in sorted(directory.glob("*_*.db")) if _is_left_behind(path)]
    for path in gone:
        kind = path.name.partition("_")[0]
        if kind != "gauge":
            _add(path, directory / f"{kind}_{DEPARTED}.db")
        path.unlink()
    return len(gone)


def _is_left_behind(path: Path) -> bool:
    pid = path.stem.rpartition("_")[2]
    return pid.isdigit() and not psutil.pid_exists(int(pid))


def _add(source: Path, target: Path) -> None:
    total = _files(str(target))
    for key, value, *_ in _files.read_all_values_from_file(str(source)):
        before, _timestamp = total.read_value(key)
        total.write_value(key, before + value, 0.0)
    total.close()


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Be the only one who reads or takes over: a file that is added twice, or goes while it is read, would be wrong."""
    with (directory / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
