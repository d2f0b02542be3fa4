"""Latencies are counts in buckets: they can be added, and a percentile is a bound that was not passed."""

import bisect
import math

from hypothesis import given
from hypothesis import strategies as st

from tds_core.statistics.latency_histogram import BOUNDS, added, percentile, share_below

SECONDS = st.lists(st.floats(0, 10_000), min_size=1, max_size=200)


def histogram(seconds: list[float]) -> list[int]:
    counts = [0] * (len(BOUNDS) + 1)
    for each in seconds:
        counts[bisect.bisect_right(BOUNDS, each)] += 1
    return counts


def test_without_events_there_is_no_latency() -> None:
    assert percentile(histogram([]), 0.95) is None
    assert share_below(histogram([]), 60.0) is None


@given(SECONDS, st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_the_next_bound_above_the_exact_one(seconds: list[float], share: float) -> None:
    exact = sorted(seconds)[math.ceil(share * len(seconds) - 1e-9) - 1]
    bound = percentile(histogram(seconds), share)
    assert bound is not None
    assert exact < bound or bound == float("inf")
    assert all(each <= exact for each in BOUNDS if each < bound)


@given(SECONDS)
def test_the_share_below_a_bound_is_exact(seconds: list[float]) -> None:
    assert share_below(histogram(seconds), 60.0) == sum(each < 60 for each in seconds) / len(seconds)


@given(SECONDS, SECONDS)
def test_hours_add_up_to_the_day(first: list[float], second: list[float]) -> None:
    assert added([histogram(first), histogram(second)]) == histogram(first + second)


def test_one_slow_event_in_a_hundred_does_not_move_p95_and_six_do() -> None:
    assert percentile(histogram([0.2] * 99 + [5000.0]), 0.95) == 0.25
    assert percentile(histogram([0.2] * 94 + [5000.0] * 6), 0.95) == float("inf")
