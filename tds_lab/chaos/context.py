"""The context of nemeses: the running environment, seeded randomness, and counts of what was done."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

import psutil
import redis

from tds_core.redis_client import redis_client
from tds_lab.chaos.worker_recovery_times import Orphans
from tds_lab.testbed import Environment
from tds_local.stack import Server


@dataclass
class ChaosContext:
    """What a nemesis works with. `jitter` is seeded; `counts` has how often each thing was done."""

    environment: Environment
    jitter: Random
    orphans: Orphans
    counts: Counter[str] = field(default_factory=Counter)

    def leader(self, name: str) -> psutil.Process:
        """The main process of a program. Raises psutil.NoSuchProcess while it is down."""
        return psutil.Process(self.environment.stack.processes.running[name].pid)

    def workers(self) -> list[psutil.Process]:
        """The main processes of the workers that run."""
        names = [name for name in self.environment.stack.processes.running if name.startswith("worker-")]
        return [
            self.leader(name) for name in names if psutil.pid_exists(self.environment.stack.processes.running[name].pid)
        ]

    def server(self, name: str) -> Server:
        """PostgreSQL or Redis."""
        return self.environment.stack.servers[name]

    def redis(self) -> redis.Redis:
        """A client of the environment's Redis."""
        return redis_client(self.environment.stack.settings.redis_url, timeout_seconds=2)
