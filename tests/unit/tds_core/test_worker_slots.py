"""The count of slots is cheap, and outlives a database that is away."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from tds_core import worker_slots
from tds_core.worker_slots import PEAK_SECONDS, REFRESH_SECONDS, Capacity, WorkerSlots


class Workers:
    """What a database would count; `None` while it is away."""

    def __init__(self) -> None:
        self.now, self.asked, self.slot_count = 100.0, 0, 0
        self.is_away = False

    def clock(self) -> float:
        return self.now

    @contextmanager
    def scope(self) -> Iterator[Any]:
        self.asked += 1
        if self.is_away:
            raise OperationalError("select", {}, Exception("away"))
        yield self

    def execute(self, *_: Any) -> Any:
        return self

    def one(self) -> Any:
        return Capacity(worker_count=0, slot_count=self.slot_count)


def slots_of(workers: Workers, least: int = 1) -> WorkerSlots:
    return WorkerSlots(workers.scope, least=least, clock=workers.clock)


def test_before_any_worker_reports_there_are_the_slots_the_asker_knows_of() -> None:
    workers = Workers()
    assert (slots_of(workers).count(), slots_of(workers, least=3).count()) == (1, 3)


def test_workers_are_counted_once_in_a_few_seconds() -> None:
    workers = Workers()
    slots, workers.slot_count = slots_of(workers), 4
    assert [slots.count() for _ in range(100)] == [4] * 100
    workers.slot_count = 16
    assert (slots.count(), workers.asked) == (4, 1)
    workers.now += REFRESH_SECONDS
    assert (slots.count(), workers.asked) == (16, 2)


def test_while_the_database_is_away_the_last_count_stands() -> None:
    workers = Workers()
    slots, workers.slot_count = slots_of(workers), 8
    slots.count()
    workers.is_away = True
    workers.now += 1000
    assert [slots.count() for _ in range(10)] == [8] * 10
    assert workers.asked == 2
    workers.is_away, workers.slot_count = False, 2
    workers.now += REFRESH_SECONDS
    assert slots.count() == 2


@given(st.lists(st.tuples(st.floats(0.5, 30), st.integers(0, 64)), min_size=1, max_size=30))
def test_the_peak_is_never_below_what_was_counted_within_a_minute(moments: list[tuple[float, int]]) -> None:
    workers, seen = Workers(), []
    slots = slots_of(workers)
    for seconds, slot_count in moments:
        workers.now += seconds
        workers.slot_count = slot_count
        seen.append((workers.now, slots.count()))
        recent = [count for at, count in seen if at > workers.now - PEAK_SECONDS + REFRESH_SECONDS]
        assert slots.peak() >= max(recent)
        assert slots.peak() <= max(count for _, count in seen)


def test_a_peak_passes() -> None:
    workers = Workers()
    slots, workers.slot_count = slots_of(workers), 16
    assert slots.peak() == 16
    workers.slot_count = 4
    workers.now += PEAK_SECONDS / 2
    assert (slots.count(), slots.peak()) == (4, 16)
    workers.now += PEAK_SECONDS
    assert slots.peak() == 4


def test_a_silent_worker_counts_longer_than_several_of_its_reports() -> None:
    assert worker_slots.SILENT_SECONDS > 5 * 2.0
