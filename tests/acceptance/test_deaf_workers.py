"""Workers that live and do not consume are found, ended and started again, and the work goes on meanwhile."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from celery import Celery
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import celeryconfig
from tds_api.cli.processes import Program, Supervisor
from tds_core.embedded.guardian import Guardian
from tds_core.sync import inbox
from tds_models.db import session_scope
from tests.world import World, delivery, product

pytestmark = pytest.mark.acceptance

# A canary every two seconds; the dispatcher looks every five.
DEAF_SECONDS = 8
# Two minutes with the settings as they come (TDS_DEAF_SECONDS=60), as much less as they are shorter here.
FOUND_SECONDS, TAKEN_OVER_SECONDS = 60.0, 10.0


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)


@pytest.fixture
def supervisor(database: str, redis_url: str) -> Iterator[Supervisor]:
    home = Path(tempfile.mkdtemp(prefix="tds-deaf-"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))}
    environment |= {
        "TDS_DATABASE_URL": database, "TDS_REDIS_URL": redis_url, "TDS_HOME": str(home),
        "TDS_DEAF_SECONDS": str(DEAF_SECONDS),
    }  # fmt: skip
    guard = Guardian()
    supervisor = Supervisor(logs=home, env=environment, guard=guard)
    yield supervisor
    supervisor.stop(grace_seconds=2)
    guard.close()
    shutil.rmtree(home)


def start(supervisor: Supervisor, world: World, *workers: str) -> dict[str, psutil.Process]:
    """Workers of one process each, and the dispatcher; all of them have heard a canary. Their main processes."""
    celery = (sys.executable, "-m", "celery", "-A", "tds_tasks.app", "worker", "-c", "1")
    options = ("--without-gossip", "--without-mingle")
    running = {
        name: supervisor.launch(Program(name=name, argv=(*celery, "-n", f"{name}@%h", *options))) for name in workers
    }
    supervisor.launch(Program(name="dispatcher", argv=(sys.executable, "-m", "tds_tasks.dispatcher")))
    supervisor.look_after()
    heard = "select count(*) from tds_canaries where heard_at is not null and queue like 'tds.ear.%'"
    assert wait_for(lambda: world.value(heard) == len(workers), 60)
    return {name: psutil.Process(each.pid) for name, each in running.items()}


def wait_for(happened: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not happened() and time.monotonic() < until:
        time.sleep(0.1)
    return happened()


def receive(session: Session, *source_ids: str) -> None:
    inbox.receive(session, [delivery("product", product(each)) for each in source_ids], duplicate_window_seconds=600)


def owe(world: World, *source_ids: str) -> None:
    with session_scope(world.engine) as session:
        receive(session, *source_ids)


def celery(redis_url: str) -> Celery:
    """An application of this test's own, on the queues of the workers."""
    control = Celery(set_as_current=False)
    control.config_from_object("celeryconfig")
    control.conf.broker_url = redis_url
    return control


def found(world: World) -> list[str]:
    return [row["subject"].partition("@")[0] for row in world.rows(FOUND)]


FOUND = "select subject from tds_healing_actions where action = 'workers' order by id"


def is_done(world: World, count: int) -> bool:
    return bool(world.value("select count(*) from erp.product") == count)


def test_a_worker_whose_processes_stand_still_is_found_and_the_other_one_does_its_work(
    world: World, supervisor: Supervisor
) -> None:
    workers = start(supervisor, world, "well", "ill")
    for child in workers["ill"].children(recursive=True):
        child.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    owe(world, *(str(number) for number in range(5)))
    assert wait_for(lambda: found(world) == ["ill"], FOUND_SECONDS), found(world)
    took = time.monotonic() - began
    assert wait_for(lambda: is_done(world, 5), TAKEN_OVER_SECONDS), f"found after {took:.1f} s, work not taken over"
    assert wait_for(lambda: not workers["ill"].is_running() or is_over(workers["ill"]), 10), "it was not ended"
    assert wait_for(lambda: living(world) == {"well", "ill"}, 60), "no other worker was started in its place"
    assert workers["well"].is_running()
    assert found(world) == ["ill"]


def test_a_busy_worker_is_left_alone_and_one_whose_queues_were_cancelled_is_not(
    world: World, supervisor: Supervisor, redis_url: str
) -> None:
    [worker] = start(supervisor, world, "only").values()
    with celery(redis_url) as control:
        with session_scope(world.engine) as session:
            session.execute(text("lock table tds_sync_queue in access exclusive mode"))
            receive(session, "1")
            control.send_task("tds.sync.product", ignore_result=True)
            assert wait_for(lambda: world.value("select busy_count from tds_listeners") == 1, 15), "it takes nothing up"
            time.sleep(3 * DEAF_SECONDS)
        assert found(world) == [], "busy is not deaf"
        assert wait_for(lambda: is_done(world, 1), 20)
        began = time.monotonic()
        for queue in celeryconfig.QUEUES:
            control.control.cancel_consumer(f"tds.{queue}")
    assert wait_for(lambda: found(world) == ["only"], FOUND_SECONDS), "not found"
    took = time.monotonic() - began
    owe(world, "2")
    assert wait_for(lambda: is_over(worker), TAKEN_OVER_SECONDS), f"found after {took:.1f} s, and not ended"
    assert wait_for(lambda: is_done(world, 2), 60), "its successor did not do its work"


def is_over(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def living(world: World) -> set[str]:
    rows = world.rows("select name from tds_listeners where ended_at is null and deaf_at is null")
    return {row["name"].partition("@")[0] for row in rows}
