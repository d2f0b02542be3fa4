"""Process usage: memory, processor time and start of every process of TDS on a host, by the name of its program."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily as Counter
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.registry import Collector

#: Programs by words of their command line; a process of another kind counts as `other`.
PROGRAMS = {
    "tds_api.server": "api",
    "tds_tasks.dispatcher": "dispatcher",
    "tds_api.flower": "flower",
    "tds_tasks.app flower": "flower",
    "tds_tasks.app worker": "worker",
    "tds_tasks.app beat": "beat",
}
#: What a process of the API is called once it serves: one that still loads has the same socket and command line.
SERVING = "tds-api serves"


@dataclass(slots=True)
class ProgramUsage:
    """What the processes of one program use together. `started_at`: of the oldest, in seconds since 1970."""

    process_count: int = 0
    memory_bytes: int = 0
    cpu_seconds: float = 0.0
    started_at: float = float("inf")

    def add(self, process: psutil.Process) -> None:
        """Add one process. Processor time of ended children counts for their parent, so that the sum does not fall."""
        with process.oneshot():
            times, memory, started = process.cpu_times(), process.memory_info(), process.create_time()
        self.process_count += 1
        self.memory_bytes += memory.rss
        self.cpu_seconds += times.user + times.system + times.children_user + times.children_system
        self.started_at = min(self.started_at, started)


def name_as_serving() -> None:
    """Call this process by the name that says it serves; on Linux alone."""
    own = Path("/proc/self/comm")
    if own.exists():
        own.write_text(SERVING)


def usage_of(pids: Iterable[int]) -> dict[str, ProgramUsage]:
    """What the live processes among `pids` use, by program; those that may not be asked are left out."""
    usage: dict[str, ProgramUsage] = defaultdict(ProgramUsage)
    for pid in pids:
        try:
            process = psutil.Process(pid)
            usage[_program_of(process)].add(process)
        except psutil.Error:
            continue
    return dict(usage)


def own_family() -> list[int]:
    """The ids of this process and its descendants."""
    own = psutil.Process()
    return [own.pid, *(child.pid for child in own.children(recursive=True))]


def _program_of(process: psutil.Process) -> str:
    """`worker-1` as a supervisor named it, else the kind of program; of `api-2` every process is one of `api`."""
    own = process.pid == os.getpid()
    name = os.environ.get("TDS_PROCESS") if own else process.environ().get("TDS_PROCESS")
    if name:
        return name
    words = " ".join(process.cmdline())
    return next((program for word, program in PROGRAMS.items() if word in words), "other")


class ProcessUsage(Collector):
    """Collects what the processes use whose ids `pids` returns, at each scrape."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering the collector asks no process."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The present metrics."""
        memory = Gauge("tds_process_memory_bytes", "Resident memory of a program's processes.", labels=["program"])
        started = Gauge(
            "tds_process_started_seconds", "When the oldest of them started, since 1970.", labels=["program"]
        )
        count = Gauge("tds_processes", "Processes that live, by program.", labels=["program"])
        cpu = Counter("tds_process_cpu_seconds", "Processor time of a program's processes.", labels=["program"])
        for program, usage in usage_of(self._pids()).items():
            memory.add_metric([program], usage.memory_bytes)
            started.add_metric([program], usage.started_at)
            count.add_metric([program], usage.process_count)
            cpu.add_metric([program], usage.cpu_seconds)
        yield from (memory, cpu, started, count)
