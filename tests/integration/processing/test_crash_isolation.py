"""Records that kill: the process that tries them dies, no second worker does, and nobody innocent is set aside."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tds_core.errors import TransientError
from tds_core.processing.lease_recovery import recover_expired_leases
from tds_core.sources.base import FetchResult
from tds_models.db import session_scope
from tds_tasks.crash_isolation import IsolatedEnd
from tds_tasks.work_batches import sync_batch
from tests.integration.queue.test_items import expire
from tests.support import world as worlds
from tests.support.world import ScriptedSource, World, believe_started, delivery, invoice, product

KILLER, OTHERS = "13", [str(number) for number in range(20, 60)]


class Deadly(ScriptedSource):
    """Whoever reads the killer dies of it; `deaths` tells how many processes did, also those forked since."""

    def __init__(self, deaths: Path) -> None:
        super().__init__()
        self.deaths, self.killers, self.readings = deaths, {KILLER}, deaths.with_name("readings")

    def read(self, stream: Any, source_ids: Sequence[str], *, traffic: Any) -> FetchResult:
        """See `Source`."""
        if self.killers & set(source_ids):
            with self.deaths.open("a") as said:
                said.write(f"{os.getpid()}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        with self.readings.open("a") as said:
            said.writelines(f"{source_id}\n" for source_id in source_ids)
        return super().read(stream, source_ids, traffic=traffic)


@pytest.fixture
def source(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Deadly:
    """What tasks ask in place of Zoho; by then it has killed nobody."""
    deadly = Deadly(tmp_path / "deaths")
    deadly.records.update({each: product(each) for each in [KILLER, *OTHERS]})
    worlds.script(monkeypatch, deadly)
    return deadly


def killed_worker(world: World) -> int:
    """A worker takes what is due, and dies; its leases end. Returns the signal that ended it, 0 for none."""
    worker = os.fork()
    if worker == 0:
        sync_batch("product")
        os._exit(0)
    _, status = os.waitpid(worker, 0)
    expire(world)
    return os.WTERMSIG(status)


def test_a_record_that_kills_takes_one_worker_with_it_and_is_quarantined(world: World, source: Deadly) -> None:
    believe_started(world, "1 day")
    world.enqueue("product", KILLER, *OTHERS)
    assert killed_worker(world) == signal.SIGKILL
    sync_batch("product")  # in this very process, which lives on
    letter = world.one("select source_id, error_class from tds_dead_letter_queue")
    assert (letter["source_id"], letter["error_class"]) == (KILLER, "crashed")
    assert set(world.mirror("product", "name")) == set(OTHERS)
    assert world.queue_depth("product") == 0
    assert os.getpid() not in {int(each) for each in source.deaths.read_text().split()}


def test_two_that_kill_are_both_found_and_nobody_else(world: World, source: Deadly) -> None:
    believe_started(world, "1 day")
    source.killers.add(OTHERS[7])
    world.enqueue("product", KILLER, *OTHERS)
    killed_worker(world)
    sync_batch("product")
    letters = world.rows("select source_id from tds_dead_letter_queue order by source_id")
    assert [row["source_id"] for row in letters] == sorted([KILLER, OTHERS[7]])
    assert len(world.mirror("product", "name")) == len(OTHERS) - 1


def test_records_a_killed_worker_only_happened_to_hold_are_brought_over_together(world: World, source: Deadly) -> None:
    believe_started(world, "1 day")
    world.enqueue("product", *OTHERS)
    for _ in range(3):  # a worker that is killed from outside, again and again
        world.claim()
        expire(world)
    sync_batch("product")
    assert set(world.mirror("product", "name")) == set(OTHERS)
    assert world.rows("select * from tds_dead_letter_queue") == []
    outcomes = world.rows("select outcome, count(*) from tds_sync_logs group by 1 order by 1")
    assert [tuple(row.values()) for row in outcomes] == [("crashed", 3 * len(OTHERS)), ("created", len(OTHERS))]


def test_a_process_ended_from_outside_convicts_nobody(
    world: World, source: Deadly, monkeypatch: pytest.MonkeyPatch
) -> None:
    believe_started(world, "1 day")
    source.killers.clear()
    world.deliver(delivery("product", product(KILLER)))
    world.claim()
    expire(world)
    bring_over = sync_batch.__globals__["_bring_over"]

    def ended_once(*given: Any) -> None:
        if not source.deaths.exists():
            source.deaths.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        bring_over(*given)

    monkeypatch.setattr("tds_tasks.work_batches._bring_over", ended_once)
    sync_batch("product")
    assert set(world.mirror("product", "name")) == {KILLER}
    assert world.rows("select * from tds_dead_letter_queue") == []


def test_a_trial_whose_lease_was_lost_convicts_nobody(
    world: World, source: Deadly, monkeypatch: pytest.MonkeyPatch
) -> None:
    believe_started(world, "1 day")
    world.enqueue("product", KILLER)
    killed_worker(world)

    def lost(*_: Any) -> IsolatedEnd:
        expire(world)
        with session_scope(world.engine) as session:
            recover_expired_leases(session)
        return IsolatedEnd.DEAD

    monkeypatch.setattr("tds_tasks.crash_isolation._end_of", lost)
    sync_batch("product")
    assert world.rows("select * from tds_dead_letter_queue") == []
    assert world.queue_depth("product") == 1


def test_what_a_process_brought_over_before_it_died_is_not_asked_for_again(world: World, source: Deadly) -> None:
    believe_started(world, "1 day")
    source.records.update({each: invoice(each) for each in OTHERS})
    source.killers = {OTHERS[-1]}  # documents are read twenty at a time: half of them are done when it is met
    world.enqueue("invoice", *OTHERS)
    world.claim("invoice")
    expire(world)
    sync_batch("invoice")
    assert [row["source_id"] for row in world.rows("select source_id from tds_dead_letter_queue")] == OTHERS[-1:]
    assert sorted(source.readings.read_text().split()) == OTHERS[:-1]


def test_what_was_asked_for_while_its_record_was_on_trial_is_work_still(
    world: World, source: Deadly, monkeypatch: pytest.MonkeyPatch
) -> None:
    believe_started(world, "1 day")
    world.deliver(delivery("product", product(KILLER)))
    world.claim()
    expire(world)

    def overtaken(*_: Any) -> IsolatedEnd:
        world.deliver(delivery("product", product(KILLER, second=9)))
        return IsolatedEnd.DEAD

    monkeypatch.setattr("tds_tasks.crash_isolation._end_of", overtaken)
    sync_batch("product")
    assert world.value("select verdict from tds_inbox_events order by id limit 1") == "dead_lettered"
    assert world.value("select verdict from tds_inbox_events order by id desc limit 1") is None
    monkeypatch.undo()
    worlds.script(monkeypatch, source)
    source.killers.clear()
    sync_batch("product")
    assert set(world.mirror("product", "name")) == {KILLER}


def test_records_that_are_not_done_in_time_have_failed_and_are_not_guilty(
    world: World, source: Deadly, monkeypatch: pytest.MonkeyPatch
) -> None:
    believe_started(world, "1 day")
    world.enqueue("product", *OTHERS[:3])
    world.claim()
    expire(world)
    monkeypatch.setattr("tds_tasks.crash_isolation.LONGEST_SECONDS", 1)
    monkeypatch.setattr("tds_tasks.work_batches._bring_over", lambda *_: time.sleep(30))
    sync_batch("product")
    assert world.rows("select * from tds_dead_letter_queue") == []
    waits = "select count(*) from tds_sync_queue where lease_token is null and attempts = 2 and crashes = 1"
    assert world.value(waits) == 3
    assert world.value("select count(*) from tds_sync_logs where outcome = 'retry'") == 3


def test_what_lived_through_a_trial_is_no_suspect_any_more(world: World, source: Deadly) -> None:
    believe_started(world, "1 day")
    source.records[OTHERS[0]] = TransientError("later")
    world.enqueue("product", OTHERS[0])
    world.claim()
    expire(world)
    sync_batch("product")
    assert world.one("select crashes, attempts from tds_sync_queue where entity = 'product'")["crashes"] == 0
