"""Webhooks go on being applied through the death of a Redis master and of a RabbitMQ node; nothing is lost."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tds_core.redis_client import redis_client
from tds_local.supervisor import Supervisor
from tests.acceptance.workers import is_done, owe, start, wait_for
from tests.support.brokers import RabbitServer, SentinelRedis
from tests.support.world import World

pytestmark = pytest.mark.acceptance

RECOVERY_SECONDS = 60.0


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tds-broker-") as home:
        Path(home).chmod(0o755)
        yield Path(home)


def owe_for(world: World, seconds: float, begin: int) -> int:
    """Webhooks of new products, ten a second, for so long. Returns the number after the last."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        owe(world, str(begin))
        begin += 1
        time.sleep(0.1)
    return begin


def verdicts(world: World) -> dict[str, int]:
    """The events of webhooks by verdict; what is left of the work is reading Zoho again, which is not there."""
    rows = world.rows("select coalesce(verdict, 'open') as verdict, count(*) as count from tds_inbox_events group by 1")
    return {row["verdict"]: row["count"] for row in rows}


class TestSentinel:
    @pytest.fixture
    def group(self, home: Path) -> Iterator[SentinelRedis]:
        with SentinelRedis(home) as group:
            yield group

    @pytest.fixture
    def redis_url(self, group: SentinelRedis) -> str:
        """Both the broker and the Redis of quota and breakers."""
        return group.url

    def test_webhooks_are_applied_through_the_death_of_the_master_and_of_the_one_after_it(
        self, world: World, supervisor: Supervisor, group: SentinelRedis
    ) -> None:
        workers = start(supervisor, world, "one", "two")
        count = owe_for(world, 3, 0)
        assert wait_for(lambda: is_done(world, count), 20)
        for _ in range(2):
            before = group.master_port()
            killed = group.kill_master()
            count = owe_for(world, 8, count)
            assert wait_for(lambda: group.master_port() != before, 30), "no other master"  # noqa: B023
            assert wait_for(lambda: is_done(world, count), RECOVERY_SECONDS), "not applied after the master's death"  # noqa: B023
            group.start(killed, replica_of=None if killed == "second" else "second")
            time.sleep(12)  # the Sentinels make it a replica
        assert verdicts(world) == {"applied": count}
        assert all(each.is_running() for each in workers.values())
        with redis_client(group.url, timeout_seconds=2) as client:
            assert client.ping()


class TestRabbit:
    @pytest.fixture
    def server(self, home: Path) -> Iterator[RabbitServer]:
        with RabbitServer(home) as server:
            yield server

    @pytest.fixture
    def more_settings(self, server: RabbitServer) -> dict[str, str]:
        return {"TDS_BROKER_URL": server.url}

    def test_webhooks_are_applied_by_quorum_queues_through_the_death_of_the_node(
        self, world: World, supervisor: Supervisor, server: RabbitServer
    ) -> None:
        workers = start(supervisor, world, "one", "two")
        count = owe_for(world, 3, 0)
        assert wait_for(lambda: is_done(world, count), 20)
        server.kill()
        count = owe_for(world, 5, count)
        server.start()
        assert wait_for(lambda: is_done(world, count), RECOVERY_SECONDS), "not applied after the node's death"
        assert verdicts(world) == {"applied": count}
        assert all(each.is_running() for each in workers.values())
        # Every queue is heard again: those all share, and each worker's own.
        heard = "select count(*) from tds_canaries where heard_at > now() - interval '15 seconds'"
        assert wait_for(lambda: world.value(heard) >= 7, 60), "canaries are not heard"
