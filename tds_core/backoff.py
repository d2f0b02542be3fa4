"""Retry decisions and back-off delays, shared by work items, runs and deliveries to subscribers."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

OutcomeT = TypeVar("OutcomeT", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class RetryDecision(Generic[OutcomeT]):
    """What happens to work after an attempt, and after how many seconds it is tried again, if it is."""

    outcome: OutcomeT
    delay_seconds: float = 0.0


def backoff_seconds(count: int, *, first: float, longest: float, factor: float = 2.0) -> float:
    """A delay that begins with `first` seconds at count 0 and grows by `factor` with each count, up to `longest`."""
    return min(longest, first * factor ** min(count, 30))
