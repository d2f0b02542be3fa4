"""The arena: a running stage, what may be done to it, and what was done."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

import psutil
import redis

from tds_core.redis_client import redis_client
from tds_lab.chaos.orphans import Orphans
from tds_lab.environment import Environment
from tds_local.stack import Server


@dataclass
class ChaosContext:
    """What a nemesis is given. `chance` is seeded; `counts` says how often what was done."""

    stage: Environment
    jitter: Random
    orphans: Orphans
    counts: Counter[str] = field(default_factory=Counter)

    def leader(self, name: str) -> psutil.Process:
        """The main process of a program. Raises psutil.NoSuchProcess while it is down."""
        return psutil.Process(self.stage.stack.processes.running[name].pid)

    def workers(self) -> list[psutil.Process]:
        """The main processes of the workers that run."""
        names = [name for name in self.stage.stack.processes.running if name.startswith("worker-")]
        return [self.leader(name) for name in names if psutil.pid_exists(self.stage.stack.processes.running[name].pid)]

    def server(self, name: str) -> Server:
        """PostgreSQL or Redis."""
        return self.stage.stack.servers[name]

    def redis(self) -> redis.Redis:
        """A client of the stage's Redis."""
        return redis_client(self.stage.stack.settings.redis_url, timeout_seconds=2)
