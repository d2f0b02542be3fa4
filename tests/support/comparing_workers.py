"""Workers of a comparison in a thread of the test: runs go on and work is done while a command watches."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from structlog.testing import capture_logs

from tds_models.entities import ENTITIES
from tests.support.world import World

# What changed less than a second ago is not decided.
HURRY_SECONDS = 1.2
_OPEN = "select id from tds_sync_runs where state in ('queued', 'running') and next_attempt_at <= now() order by id"


@contextmanager
def working(world: World, *, hurries: bool = True) -> Iterator[None]:
    """A dispatcher and a worker. `hurries`: what waits for changes to settle waits little more than a second."""
    stop = threading.Event()

    def work() -> None:
        hurried_at = time.monotonic()
        while not stop.wait(0.02):
            _beat(world)
            if hurries and time.monotonic() - hurried_at > HURRY_SECONDS:
                hurried_at = time.monotonic()
                _hurry(world)
            for row in world.rows(_OPEN):
                world.advance(row["id"])
            for entity in ENTITIES:
                if world.queue_depth(entity):
                    world.drain(entity, make_due=hurries)

    thread = threading.Thread(target=work)
    _beat(world)
    with capture_logs():  # it shares our standard output
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _beat(world: World) -> None:
    world.execute(
        "insert into tds_pulses (name) values ('dispatcher') on conflict (name) do update set beat_at = now()"
    )


def _hurry(world: World) -> None:
    world.execute(
        "update tds_sync_runs set next_attempt_at = now() where lease_token is null and next_attempt_at > now()"
    )
    world.execute(
        "update tds_comparison_differences set recheck_at = now() where state = 'suspect' and recheck_at > now()"
    )
