"""Retry, snooze or give up: each error has one fate, and waiting has bounds."""

import time
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tds_core import errors
from tds_core.backoff import RetryDecision
from tds_core.errors import TdsError
from tds_core.queue.retry_policy import CAP_SECONDS, FailureHistory, RetryOutcome, code_of, decide_retry


def decided(error: Exception, *, attempts: int = 1, jitter: float = 0.5) -> RetryDecision[RetryOutcome]:
    return decide_retry(error, FailureHistory(attempts), max_attempts=8, jitter=jitter)


def silence(seconds: float) -> errors.TransientError:
    """A failure of a source that has answered nobody for so long."""
    error = errors.TransientError("HTTP 502")
    error.silent_since = time.monotonic() - seconds
    return error


@pytest.mark.parametrize("error", [errors.RateError("x"), errors.QuotaError("x"), errors.AuthError("x")])
def test_what_is_not_the_records_fault_is_put_off_however_often(error: errors.SourceError) -> None:
    assert decided(error, attempts=10_000).outcome is RetryOutcome.SNOOZE


@pytest.mark.parametrize(
    "error", [errors.PermanentError("x"), errors.ContractError("x"), errors.InvalidRecordError("x")]
)
def test_what_will_not_change_is_given_up_at_once(error: TdsError) -> None:
    assert decided(error).outcome is RetryOutcome.DEAD


def test_what_may_pass_is_tried_until_the_last_attempt() -> None:
    for error in (errors.TransientError("x"), ZeroDivisionError("ours")):
        assert [decided(error, attempts=n).outcome for n in (1, 7, 8, 9)] == [RetryOutcome.RETRY] * 2 + [
            RetryOutcome.DEAD
        ] * 2


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_a_retry_waits_at_most_its_span_and_never_longer_than_the_cap(attempts: int, jitter: float) -> None:
    waits = decide_retry(
        errors.TransientError("x"), FailureHistory(attempts), max_attempts=99, jitter=jitter
    ).delay_seconds
    assert 0 <= waits <= min(CAP_SECONDS, 2.0**attempts)


@given(
    failures=st.integers(1, 100),
    failed=st.floats(0, 1e6),
    more=st.floats(0, 1e6),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_an_outage_costs_no_attempt_however_long_it_lasts(
    failures: int, failed: float, more: float, jitter: float
) -> None:
    for silent in (failed + more, inf):
        fate = decide_retry(silence(silent), FailureHistory(8, failures, failed), max_attempts=8, jitter=jitter)
        assert fate.outcome is RetryOutcome.SNOOZE
        assert 1 <= fate.delay_seconds <= CAP_SECONDS


def test_the_first_failure_of_a_record_proves_nothing_against_it() -> None:
    assert decide_retry(silence(0.1), FailureHistory(1), max_attempts=8, jitter=0.5).outcome is RetryOutcome.SNOOZE


def test_a_record_that_fails_while_others_are_answered_pays_for_it_and_is_given_up_in_the_end() -> None:
    fates = [
        decide_retry(silence(3), FailureHistory(n, n, 10), max_attempts=8, jitter=0.5).outcome for n in range(1, 9)
    ]
    assert fates == [RetryOutcome.RETRY] * 7 + [RetryOutcome.DEAD]


def test_what_fails_in_an_outage_is_asked_ever_more_rarely() -> None:
    waits = [
        decide_retry(silence(inf), FailureHistory(1, n, 10), max_attempts=8, jitter=0.9).delay_seconds
        for n in range(12)
    ]
    assert waits == sorted(waits)
    assert waits[-1] == CAP_SECONDS * 0.9


def test_what_waits_for_a_breaker_waits_until_it_is_probed() -> None:
    error = silence(inf)
    error.after_seconds = 60
    assert 60 <= decided(error, jitter=0.0).delay_seconds <= decided(error, jitter=0.9).delay_seconds <= 90


def test_a_source_that_says_how_long_is_given_at_least_as_long() -> None:
    for jitter in (0.0, 0.99):
        assert 60 <= decided(errors.RateError("x", after_seconds=60), jitter=jitter).delay_seconds <= 90
        assert decided(errors.TransientError("x", after_seconds=60), jitter=jitter).delay_seconds >= 60


def test_who_waits_for_the_next_day_is_back_soon_after_it_began() -> None:
    assert decided(errors.QuotaError("x", after_seconds=80_000), jitter=0.99).delay_seconds <= 80_060


def test_a_snooze_never_spins() -> None:
    assert decided(errors.RateError("x"), jitter=0.0).delay_seconds >= 1


def test_errors_are_known_by_their_code_and_bugs_by_their_name() -> None:
    assert code_of(errors.QuotaError("x")) == "quota_exhausted"
    assert code_of(KeyError("x")) == "KeyError"
