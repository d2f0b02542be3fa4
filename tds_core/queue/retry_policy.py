"""Retry policy of work items and runs: retry, snooze or give up, by the error's class and the attempts so far."""

from dataclasses import dataclass
from enum import StrEnum

from tds_core.backoff import RetryDecision, backoff_seconds
from tds_core.errors import SNOOZE, SourceError, TdsError, TransientError

BASE_SECONDS = 2.0
CAP_SECONDS = 15 * 60.0
LEAST_SNOOZE_SECONDS = 1.0
SPREAD_SECONDS = 60.0


class RetryOutcome(StrEnum):
    """What happens to work after a failed attempt."""

    RETRY = "retry"  # again later; this attempt counted
    SNOOZE = "snooze"  # again later; it did not count
    DEAD = "dead"  # an operator decides


@dataclass(frozen=True, slots=True)
class FailureHistory:
    """The earlier failures of a piece of work that has just failed.

    `attempts`: the number of this attempt, of those that count. `failures`: how often reading it failed before,
    counted or not; `failed_seconds`: how long ago it last did, None for never.
    """

    attempts: int
    failures: int = 0
    failed_seconds: float | None = None


def decide_retry(
    error: Exception, history: FailureHistory, *, max_attempts: int, jitter: float
) -> RetryDecision[RetryOutcome]:
    """What to do after `error`; `jitter` is a random number in [0, 1).

    Retries wait a random share ("full jitter") of a span that doubles with every failure, from 2 s to 15 min.
    Snoozes wait as long as the source asked and up to half as long again, so that waiting work does not return at once;
    the addition is a minute at most, or a wait for the next day would end at noon.
    An outage costs no attempt: a failure counts only if the source has answered other calls since the one before.
    """
    requested = error.after_seconds if isinstance(error, SourceError) else 0.0
    if isinstance(error, SNOOZE):
        least = max(LEAST_SNOOZE_SECONDS, requested)
        return RetryDecision(RetryOutcome.SNOOZE, least + jitter * min(least / 2, SPREAD_SECONDS))
    span = backoff_seconds(max(history.attempts - 1, history.failures), first=BASE_SECONDS, longest=CAP_SECONDS)
    if isinstance(error, TransientError) and may_be_an_outage(error, history):
        return RetryDecision(
            RetryOutcome.SNOOZE, max(LEAST_SNOOZE_SECONDS, requested * (1 + jitter / 2), jitter * span)
        )
    retriable = error.retriable if isinstance(error, TdsError) else True
    attempt_limit = (error.attempt_limit if isinstance(error, SourceError) else None) or max_attempts
    if not retriable or history.attempts >= min(attempt_limit, max_attempts):
        return RetryDecision(RetryOutcome.DEAD)
    return RetryDecision(RetryOutcome.RETRY, max(requested, jitter * span))


def may_be_an_outage(error: TransientError, history: FailureHistory) -> bool:
    """Whether the source may be down: it has answered no call since this work failed before.

    Without a breaker that counts answers this cannot be known, and the failure counts as an attempt.
    """
    if error.silent_seconds is None:
        return False
    return history.failed_seconds is None or error.silent_seconds >= history.failed_seconds


def code_of(error: Exception) -> str:
    """The error's class as operators read it: its code, or for a bug in TDS the Python class name."""
    return error.code if isinstance(error, TdsError) else type(error).__name__
