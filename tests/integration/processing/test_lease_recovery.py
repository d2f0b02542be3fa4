"""Leases of workers that died on this machine are taken back at once; of everybody else only their silence tells."""

import subprocess
import sys

import psutil
import pytest

from tds_core.processing.lease_recovery import expire, lease_holders, recover_expired_leases
from tds_core.queue import claim
from tds_models.db import session_scope
from tds_tasks.worker.lease_holder_liveness import dead, worker_name
from tests.support.world import World


def hold(world: World, source_id: str, worker: str) -> None:
    world.enqueue("product", source_id)
    with session_scope(world.engine) as session:
        assert claim.claim(session, entity="product", limit=1, lease_seconds=60, worker=worker)


def take_back(world: World) -> int:
    with session_scope(world.engine) as session:
        expire(session, dead(lease_holders(session)))
        return recover_expired_leases(session).item_count


@pytest.fixture
def ended() -> str:
    """The name of a worker that ran here and died."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    host, _, place = worker_name().split(":")
    return f"{host}:{child.pid}:{place}"


def test_what_a_dead_worker_held_is_owed_again_at_once(world: World, ended: str) -> None:
    hold(world, "1", ended)
    assert take_back(world) == 1
    assert world.value("select count(*) from tds_sync_queue where lease_token is null") == 1


def test_who_lives_keeps_its_lease(world: World) -> None:
    hold(world, "1", worker_name())
    assert take_back(world) == 0


def test_a_process_nobody_has_collected_yet_is_dead(world: World) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()
    host, _, place = worker_name().split(":")
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    assert dead([f"{host}:{child.pid}:{place}"])
    child.wait()


def test_of_workers_elsewhere_nobody_judges_by_their_process_id(world: World, ended: str) -> None:
    elsewhere = ended[:-1] + ("0" if ended[-1] != "0" else "1")
    for number, name in enumerate((elsewhere, "host:1:", "test", "")):
        hold(world, str(number), name)
    assert take_back(world) == 0
