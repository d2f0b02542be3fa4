"""A Redis that answers and takes no write, as a full one or a replica after a failover, ends no worker."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tds_local.embedded import EmbeddedRedis
from tds_local.supervisor import Supervisor
from tests.acceptance.workers import is_done, owe, start, wait_for
from tests.support.world import World

pytestmark = pytest.mark.acceptance

REFUSING = {
    "read-only": (("replicaof", "127.0.0.1", "1"), ("replicaof", "no", "one")),
    "full": (("config", "set", "maxmemory", "1"), ("config", "set", "maxmemory", "256mb")),
}


@pytest.fixture
def redis_url() -> Iterator[str]:
    """The address of a Redis nobody else uses."""
    with tempfile.TemporaryDirectory(prefix="tds-refusing-") as home:
        Path(home).chmod(0o755)
        with EmbeddedRedis(Path(home), durable=False) as server:
            yield server.url


@pytest.mark.parametrize("way", REFUSING)
def test_workers_outlive_a_redis_that_refuses_and_listen_again(
    world: World, supervisor: Supervisor, redis_url: str, way: str
) -> None:
    [worker] = start(supervisor, world, "only").values()
    refuse, accept = REFUSING[way]
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command(*refuse)
        owe(world, "1")
        time.sleep(6)
        client.execute_command(*accept)
    assert wait_for(lambda: is_done(world, 1), 20), "nobody listens again"
    assert worker.is_running(), "the worker ended"
    assert worker.children(), "its process ended"
