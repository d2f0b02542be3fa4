"""Real workers under a real supervisor: started, given work, and watched."""

import sys
import time
from collections.abc import Callable

import psutil
from sqlalchemy.orm import Session

from tds_core.inbox import receive as inbox_receive
from tds_local.supervisor import Program, Supervisor
from tds_models.db import session_scope
from tests.support.world import World, delivery, product


def start(supervisor: Supervisor, world: World, *workers: str) -> dict[str, psutil.Process]:
    """Workers of one process each, and the dispatcher; all of them have heard a canary. Their main processes."""
    celery = (sys.executable, "-m", "celery", "-A", "tds_tasks.app", "worker", "-c", "1")
    options = ("--without-gossip", "--without-mingle")
    running = {
        name: supervisor.launch(Program(name=name, argv=(*celery, "-n", f"{name}@%h", *options))) for name in workers
    }
    supervisor.launch(Program(name="dispatcher", argv=(sys.executable, "-m", "tds_tasks.dispatcher")))
    supervisor.supervise()
    heard = "select count(*) from tds_canaries where heard_at is not null and queue like 'tds.ear.%'"
    assert wait_for(lambda: world.value(heard) == len(workers), 60)
    return {name: psutil.Process(each.pid) for name, each in running.items()}


def wait_for(happened: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not happened() and time.monotonic() < until:
        time.sleep(0.1)
    return happened()


def receive(session: Session, *source_ids: str) -> None:
    inbox_receive.receive(
        session, [delivery("product", product(each)) for each in source_ids], duplicate_window_seconds=600
    )


def owe(world: World, *source_ids: str) -> None:
    with session_scope(world.engine) as session:
        receive(session, *source_ids)


def is_done(world: World, count: int) -> bool:
    return bool(world.value("select count(*) from erp.product") == count)


def is_over(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
