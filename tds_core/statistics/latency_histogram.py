"""Latency of webhooks, from receipt to row, as counts in buckets: hours can be added, and a percentile is read off."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

#: Upper bounds of the buckets in seconds; what takes longer than the last is in one more. 60 is the objective, so
#: whether a share of events took less is counted, not estimated.
BOUNDS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)


def added(histograms: Iterable[Sequence[int]]) -> list[int]:
    """The counts of several histograms together."""
    total = [0] * (len(BOUNDS) + 1)
    for histogram in histograms:
        total = [here + more for here, more in zip(total, histogram, strict=True)]
    return total


def percentile(histogram: Sequence[int], share: float) -> float | None:
    """The bound that `share` (0 to 1) of the events stayed below.

    None without events; infinite where more than the rest took longer than the last bound.
    """
    total = sum(histogram)
    if not total:
        return None
    for bound, reached in zip((*BOUNDS, float("inf")), accumulate(histogram), strict=True):
        if reached >= share * total:
            return bound
    return float("inf")


def share_below(histogram: Sequence[int], seconds: float) -> float | None:
    """The share of events that took less than `seconds`, which is one of BOUNDS; None without events."""
    total = sum(histogram)
    return sum(histogram[: BOUNDS.index(seconds) + 1]) / total if total else None
