"""Workers that live and do not consume are found, ended and started again, and the work goes on meanwhile."""

import signal
import time

import pytest
from celery import Celery
from sqlalchemy import text

from tds_local.supervisor import Supervisor
from tds_models.db import session_scope
from tds_tasks import celeryconfig
from tests.acceptance.conftest import DEAF_SECONDS
from tests.acceptance.workers import is_done, is_over, owe, receive, start, wait_for
from tests.support.world import World

pytestmark = [pytest.mark.acceptance, pytest.mark.long]

# Two minutes with the settings as they come (TDS_DEAF_SECONDS=60), as much less as they are shorter here.
FOUND_SECONDS, TAKEN_OVER_SECONDS = 60.0, 10.0


def celery(redis_url: str) -> Celery:
    """An application of this test's own, on the queues of the workers."""
    control = Celery(set_as_current=False)
    control.config_from_object("tds_tasks.celeryconfig")
    control.conf.broker_url = redis_url
    return control


def found(world: World) -> list[str]:
    return [row["subject"].partition("@")[0] for row in world.rows(FOUND)]


FOUND = "select subject from tds_healing_actions where action = 'workers' order by id"


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
            session.execute(text("set local idle_in_transaction_session_timeout = 0"))
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


def living(world: World) -> set[str]:
    rows = world.rows("select name from tds_listeners where ended_at is null and deaf_at is null")
    return {row["name"].partition("@")[0] for row in rows}
