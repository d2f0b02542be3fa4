"""Chaos: the same seed brings the same nemeses in the same order, and a report says what must not be."""

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any, cast

import pytest
import typer

from tds_lab.chaos import schedule as schedules
from tds_lab.chaos.context import ChaosContext
from tds_lab.chaos.nemesis_registry import NEMESES, Nemesis, selected_nemeses
from tds_lab.chaos.report import deliveries_gone_wrong, is_well
from tds_lab.chaos.schedule import Schedule
from tds_lab.chaos.worker_recovery_times import OrphanRecovery


class Clock:
    """A time that goes by only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def nothing(seconds: float) -> Any:
    def act(context: ChaosContext) -> Iterator[float]:
        yield seconds

    return act


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(schedules, "time", clock)
    lasting = {"a": Nemesis("one", nothing(5)), "b": Nemesis("one", nothing(1)), "c": Nemesis("two", nothing(3))}
    monkeypatch.setattr(schedules, "NEMESES", lasting)
    return clock


def played(clock: Clock, seed: int) -> list[tuple[float, str, str]]:
    told: list[tuple[float, str, str]] = []
    clock.now = 0.0
    context = ChaosContext(cast("Any", None), Random(seed), cast("Any", None))
    schedule = Schedule(context, ["a", "b", "c"], pace_seconds=1, on_event=lambda *act: told.append((clock.now, *act)))
    schedule.run(60, lambda: False)
    return told


def test_the_same_seed_is_the_same_chaos(clock: Clock) -> None:
    assert played(clock, 3) == played(clock, 3)
    assert played(clock, 3) != played(clock, 4)


def test_what_begins_ends_and_no_two_of_a_kind_are_at_work_together(clock: Clock) -> None:
    told = played(clock, 5)
    counts = Counter((name, what) for _, name, what in told)
    assert all(counts[name, "begins"] == counts[name, "ended"] > 1 for name in "abc")
    at_work = 0
    for _, name, what in told:
        if name in "ab":
            at_work += 1 if what == "begins" else -1
            assert at_work in (0, 1)


def test_nemeses_are_chosen_by_name() -> None:
    assert selected_nemeses("", "") == list(NEMESES)
    assert selected_nemeses("kill-child, redis-wiped", "redis-wiped") == ["kill-child"]
    with pytest.raises(typer.BadParameter, match="kill-child"):
        selected_nemeses("kill-everything", "")


def test_an_accepted_delivery_that_is_not_in_the_inbox_is_lost() -> None:
    sent = {"genuine": {"202": 10, "200": 3}, "forged": {"401": 5}}
    assert deliveries_gone_wrong(sent, 9) == (1, 0)
    assert deliveries_gone_wrong(sent, 10) == (0, 0)
    assert deliveries_gone_wrong(sent, 11) == (0, 1)


def test_a_delivery_whose_answer_was_lost_may_have_been_kept() -> None:
    sent = {"genuine": {"202": 10, "error": 1, "503": 1}}
    assert [deliveries_gone_wrong(sent, received) for received in (10, 12, 13)] == [(0, 0), (0, 0), (0, 1)]


@pytest.mark.parametrize("name", ["lost", "doubled", "backwards", "differences"])
def test_each_broken_promise_fails_the_run(name: str) -> None:
    well = {"lost": 0, "doubled": 0, "backwards": 0, "differences": 0}
    assert is_well(well)
    assert not is_well({**well, name: 1})


def test_recovery_is_reported_for_half_and_for_nearly_all() -> None:
    none = {"p50": None, "p99": None, "longest": None, "count": 0, "left": 0, "released": 0}
    assert OrphanRecovery([], 0).figures() == none
    one = {"p50": 2.0, "p99": 2.0, "longest": 2.0, "count": 1, "left": 1, "released": 3}
    assert OrphanRecovery([2.0], 1, 3).figures() == one
    assert OrphanRecovery([float(n) for n in range(101)], 0).figures()["p99"] == 99.0
