"""The pace of the intake: how long one more would wait, from what the last bursts took."""

import pytest

from tds_api.inbox import group_commit
from tds_api.inbox.group_commit import Pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(group_commit, "perf_counter", clock)
    return clock


def burst(pace: Pace, clock: Clock, count: int, seconds: float) -> None:
    pace.begin()
    clock.now += seconds
    pace.end(count)


def test_nothing_is_known_before_the_first_burst(clock: Clock) -> None:
    assert Pace().wait_seconds(1000) == 0


def test_a_line_waits_as_long_as_large_bursts_take_for_each(clock: Clock) -> None:
    pace = Pace()
    for _ in range(20):
        burst(pace, clock, 100, 0.2)
    assert pace.wait_seconds(1000) == pytest.approx(2.0, rel=0.01)


def test_the_burst_at_hand_counts_as_long_as_it_took_already(clock: Clock) -> None:
    pace = Pace()
    pace.begin()
    clock.now += 2.5
    assert pace.wait_seconds(1) == pytest.approx(2.5)
    pace.end(1)
    assert pace.wait_seconds(0) == 0


def test_one_slow_burst_is_forgotten_within_a_few(clock: Clock) -> None:
    pace = Pace()
    burst(pace, clock, 10, 5.0)
    assert pace.wait_seconds(100) > 2
    for _ in range(10):
        burst(pace, clock, 100, 0.05)
    assert pace.wait_seconds(100) < 0.2


def test_a_lone_delivery_that_took_a_commit_says_nothing_of_a_thousand(clock: Clock) -> None:
    pace = Pace()
    burst(pace, clock, 1, 0.02)
    assert pace.wait_seconds(1000) == 0


def test_a_burst_of_none_says_nothing(clock: Clock) -> None:
    pace = Pace()
    burst(pace, clock, 100, 0.2)
    known = pace.wait_seconds(100)
    burst(pace, clock, 0, 60.0)
    assert pace.wait_seconds(100) == known
