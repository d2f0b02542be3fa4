"""Retry or snooze or give up: the decision, made from the error's class and the attempts so far."""

from dataclasses import dataclass
from enum import StrEnum

from tds_core.errors import TdsError
from tds_core.sources.errors import SNOOZE, SourceError

BASE_SECONDS = 2.0
CAP_SECONDS = 15 * 60.0
LEAST_SNOOZE_SECONDS = 1.0


class Fate(StrEnum):
    """What happens to work that failed."""

    RETRY = "retry"  # again later; this attempt counted
    SNOOZE = "snooze"  # again later; it did not count
    DEAD = "dead"  # a person decides


@dataclass(frozen=True, slots=True)
class Plan:
    """The fate of a failed attempt and how long it waits."""

    fate: Fate
    delay_seconds: float = 0.0


def plan(error: Exception, *, attempts: int, max_attempts: int, chance: float) -> Plan:
    """What to do after `error` on attempt number `attempts`; `chance` in [0, 1) is the jitter.

    Retries wait a random share ("full jitter") of a span that doubles with every attempt, from 2 s to 15 min.
    Snoozes wait as long as the source asked, and up to half as long again so that the waiting do not return as one.
    """
    if isinstance(error, SNOOZE):
        return Plan(Fate.SNOOZE, max(LEAST_SNOOZE_SECONDS, error.after_seconds) * (1 + chance / 2))
    retriable = error.retriable if isinstance(error, TdsError) else True
    if not retriable or attempts >= max_attempts:
        return Plan(Fate.DEAD)
    wanted = error.after_seconds if isinstance(error, SourceError) else 0.0
    return Plan(Fate.RETRY, max(wanted, chance * min(CAP_SECONDS, BASE_SECONDS * 2 ** (attempts - 1))))


def code_of(error: Exception) -> str:
    """The error's class as operators read it: its code, or for a bug of ours the Python name."""
    return error.code if isinstance(error, TdsError) else type(error).__name__
