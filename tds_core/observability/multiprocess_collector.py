"""Collector of the metrics of all processes of a host, including those that have ended.

Every process counts in its own files under PROMETHEUS_MULTIPROC_DIR. The counters of an ended process are added to one
file for all ended ones, so that counters never fall and the directory does not grow; its gauges are dropped.
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

from tds_core.observability.process_usage import ProcessUsage, own_family

_files: Any = MmapedDict  # both are not annotated
_merge: Any = multiprocess.MultiProcessCollector

#: Stands for the process id in the file names of ended processes.
DEPARTED = "departed"
LOCK = "scraping.lock"


def scraped_registry() -> CollectorRegistry:
    """A registry of all processes of this host if PROMETHEUS_MULTIPROC_DIR is set, else of this one.

    It is new each time, so a caller may add collectors.
    """
    registry = CollectorRegistry()
    if directory := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry.register(ProcessCounts(Path(directory)))
        registry.register(ProcessUsage(lambda: process_ids(Path(directory))))
    else:
        registry.register(REGISTRY)
        registry.register(ProcessUsage(own_family))
    return registry


class ProcessCounts(Collector):
    """Collects the metrics of all processes that share a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering the collector does not read the files."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The present metrics."""
        with _locked(self._directory):
            sweep(self._directory)
            collector = _merge(None, str(self._directory))
            # Flower may use the directory too; its metrics have labels for every worker and task.
            yield from [family for family in collector.collect() if family.name.startswith("tds_")]


def process_ids(directory: Path) -> set[int]:
    """The ids of the processes that have files in the directory, ended ones among them."""
    names = {path.stem.rpartition("_")[2] for path in directory.glob("*_*.db")}
    return {int(name) for name in names if name.isdigit()}


def sweep(directory: Path) -> int:
    """Merge the files of ended processes. Returns the number of files removed. The caller holds the lock."""
    orphaned = [path for path in sorted(directory.glob("*_*.db")) if _is_orphaned(path)]
    for path in orphaned:
        kind = path.name.partition("_")[0]
        if kind != "gauge":
            _add(path, directory / f"{kind}_{DEPARTED}.db")
        path.unlink()
    return len(orphaned)


def _is_orphaned(path: Path) -> bool:
    pid = path.stem.rpartition("_")[2]
    return pid.isdigit() and not psutil.pid_exists(int(pid))


def _add(source: Path, target: Path) -> None:
    total = _files(str(target))
    for key, value, *_ in _files.read_all_values_from_file(str(source)):
        before, _timestamp = total.read_value(key)
        total.write_value(key, before + value, 0.0)
    total.close()


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Exclude other readers: a file merged twice, or removed while it is read, would falsify the counts."""
    with (directory / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
