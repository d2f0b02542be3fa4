"""Retry, snooze or give up: each error has one fate, and waiting has bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tds_core.errors import TdsError
from tds_core.sources import errors
from tds_core.sync.retry import CAP_SECONDS, Fate, Plan, code_of, plan


def decided(error: Exception, *, attempts: int = 1, chance: float = 0.5) -> Plan:
    return plan(error, attempts=attempts, max_attempts=8, chance=chance)


@pytest.mark.parametrize("error", [errors.RateError("x"), errors.QuotaError("x"), errors.AuthError("x")])
def test_what_is_not_the_records_fault_is_put_off_however_often(error: errors.SourceError) -> None:
    assert decided(error, attempts=10_000).fate is Fate.SNOOZE


@pytest.mark.parametrize(
    "error", [errors.PermanentError("x"), errors.ContractError("x"), errors.InvalidRecordError("x")]
)
def test_what_will_not_change_is_given_up_at_once(error: TdsError) -> None:
    assert decided(error).fate is Fate.DEAD


def test_what_may_pass_is_tried_until_the_last_attempt() -> None:
    for error in (errors.TransientError("x"), ZeroDivisionError("ours")):
        assert [decided(error, attempts=n).fate for n in (1, 7, 8, 9)] == [Fate.RETRY] * 2 + [Fate.DEAD] * 2


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_a_retry_waits_at_most_its_span_and_never_longer_than_the_cap(attempts: int, chance: float) -> None:
    waits = plan(errors.TransientError("x"), attempts=attempts, max_attempts=99, chance=chance).delay_seconds
    assert 0 <= waits <= min(CAP_SECONDS, 2.0**attempts)


def test_a_source_that_says_how_long_is_given_at_least_as_long() -> None:
    for chance in (0.0, 0.99):
        assert 60 <= decided(errors.RateError("x", after_seconds=60), chance=chance).delay_seconds <= 90
        assert decided(errors.TransientError("x", after_seconds=60), chance=chance).delay_seconds >= 60


def test_a_snooze_never_spins() -> None:
    assert decided(errors.RateError("x"), chance=0.0).delay_seconds >= 1


def test_errors_are_known_by_their_code_and_bugs_by_their_name() -> None:
    assert code_of(errors.QuotaError("x")) == "quota_exhausted"
    assert code_of(KeyError("x")) == "KeyError"
