"""Whatever dies or forgets while edits run: afterwards the mirror equals the source, and every event has a verdict."""

import contextlib
import random
import signal
import time

import psutil
import pytest

from tests.acceptance.demo_process import DemoProcess, demo

pytestmark = pytest.mark.acceptance

SECONDS = 26


def wipe(running: DemoProcess) -> None:
    """Redis forgets every queue and every subscription."""
    running.flush_redis()


def freeze(running: DemoProcess) -> None:
    """Redis takes no word and refuses none, for some seconds."""
    server = running.redis_server()
    server.send_signal(signal.SIGSTOP)
    time.sleep(4)
    server.send_signal(signal.SIGCONT)


def kill_redis(running: DemoProcess) -> None:
    """Redis dies and comes back."""
    running.redis_server().kill()


def kill_a_child(running: DemoProcess) -> None:
    """A process dies in the middle of its work."""
    children = [child for worker in running.workers() for child in worker.children()]
    with contextlib.suppress(psutil.NoSuchProcess):
        random.choice(children).kill()


def kill_a_worker(running: DemoProcess) -> None:
    """A worker dies with all it holds; its children go with it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        random.choice(running.workers()).kill()


@pytest.mark.long
def test_wiped_frozen_and_killed_redis_and_killed_workers_cost_nothing_but_time() -> None:
    with demo("--for", str(SECONDS), "--rate", "60") as running:
        running.wait_for_events()
        until = time.monotonic() + SECONDS - 4
        for hurt in (wipe, kill_a_child, freeze, kill_a_worker, wipe, kill_redis, kill_a_child, wipe, kill_a_worker):
            if time.monotonic() < until:
                hurt(running)
                time.sleep(1)
        report = running.report()
    assert report["difference_examples"] == []
    assert report["events_without_verdict"] == 0
    assert report["problems"] == []
    assert report["exit_code"] == 0
    assert report["edits"] > SECONDS * 60 * 0.9


SPOIL = """
create function spoil() returns trigger language plpgsql as $$ begin new.sku := 'tampered'; return new; end $$;
create trigger spoil before update on erp.product for each row execute function spoil();
update erp.product set version = version
where source_id in (select source_id from erp.product where deleted_at is null limit 3)
"""


def test_a_difference_is_found_and_fails_the_demo() -> None:
    """The comparison itself must be able to fail: a row that was tampered with is a difference."""
    small = ("--size", "small")
    with demo("--for", "6", "--rate", "10", *small) as running:
        running.wait_for_events(5)
        # No later reading repairs it: to the sync, the row is as new and as confirmed as it was.
        running.execute(SPOIL)
        report = running.report()
    assert report["exit_code"] == 1
    assert report["differences"] >= 1
    assert {example["field"] for example in report["difference_examples"]} == {"sku"}
