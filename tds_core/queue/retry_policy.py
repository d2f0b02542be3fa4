"""Retry or snooze or give up: the decision, made from the error's class and the attempts so far."""

from dataclasses import dataclass
from enum import StrEnum

from tds_core.errors import SNOOZE, SourceError, TdsError, TransientError

BASE_SECONDS = 2.0
CAP_SECONDS = 15 * 60.0
LEAST_SNOOZE_SECONDS = 1.0
SPREAD_SECONDS = 60.0


class RetryOutcome(StrEnum):
    """What happens to work that failed."""

    RETRY = "retry"  # again later; this attempt counted
    SNOOZE = "snooze"  # again later; it did not count
    DEAD = "dead"  # a person decides


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """The fate of a failed attempt and how long it waits."""

    fate: RetryOutcome
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class FailureHistory:
    """What became of a piece of work before it failed just now.

    `attempts`: the number of this attempt, of those that count. `failures`: how often asking for it failed before,
    counted or not; `failed_seconds`: how long ago it last did, `None` for never.
    """

    attempts: int
    failures: int = 0
    failed_seconds: float | None = None


def decide_retry(error: Exception, past: FailureHistory, *, max_attempts: int, jitter: float) -> RetryDecision:
    """What to do after `error`; `chance` in [0, 1) is the jitter.

    Retries wait a random share ("full jitter") of a span that doubles with every failure, from 2 s to 15 min.
    Snoozes wait as long as the source asked, and up to half as long again (a minute at most, or a wait for the next day
    would end at noon), so that the waiting do not return as one.
    An outage costs no attempt: a failure counts only when the source answered others since the one before.
    """
    wanted = error.after_seconds if isinstance(error, SourceError) else 0.0
    if isinstance(error, SNOOZE):
        asked = max(LEAST_SNOOZE_SECONDS, wanted)
        return RetryDecision(RetryOutcome.SNOOZE, asked + jitter * min(asked / 2, SPREAD_SECONDS))
    span = min(CAP_SECONDS, BASE_SECONDS * 2 ** min(max(past.attempts - 1, past.failures), 30))
    if isinstance(error, TransientError) and may_be_an_outage(error, past):
        return RetryDecision(RetryOutcome.SNOOZE, max(LEAST_SNOOZE_SECONDS, wanted * (1 + jitter / 2), jitter * span))
    retriable = error.retriable if isinstance(error, TdsError) else True
    attempt_limit = (error.attempt_limit if isinstance(error, SourceError) else None) or max_attempts
    if not retriable or past.attempts >= min(attempt_limit, max_attempts):
        return RetryDecision(RetryOutcome.DEAD)
    return RetryDecision(RetryOutcome.RETRY, max(wanted, jitter * span))


def may_be_an_outage(error: TransientError, past: FailureHistory) -> bool:
    """Whether nothing shows yet that the fault is the work's own: the source answered nobody since it failed before.

    A source of which nobody keeps count is given no such credit.
    """
    if error.silent_seconds is None:
        return False
    return past.failed_seconds is None or error.silent_seconds >= past.failed_seconds


def code_of(error: Exception) -> str:
    """The error's class as operators read it: its code, or for a bug of ours the Python name."""
    return error.code if isinstance(error, TdsError) else type(error).__name__
