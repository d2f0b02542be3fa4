"""A breaker promises to leave a failing dependency alone, to ask again one at a time, and never to be the outage.

Every promise is kept with Redis and without it.
"""

from math import inf

import fakeredis
import pybreaker
import pytest

from tds_core.breakers.circuit import CircuitState
from tds_core.breakers.registry import Breakers, open_breakers
from tds_core.config.settings import load_settings
from tds_core.errors import (
    SNOOZE,
    AuthError,
    BreakerOpenError,
    NotAskedError,
    NotFoundError,
    PermanentError,
    RateError,
    TransientError,
)
from tds_core.queue.retry_policy import FailureHistory, RetryOutcome, decide_retry
from tests.support.breaker_clock import NAME, RULES, Time, ask, fail, is_refused, state


@pytest.fixture(params=["shared", "alone"])
def breakers(request: pytest.FixtureRequest, clock: Time) -> Breakers:
    client = fakeredis.FakeRedis(server=fakeredis.FakeServer()) if request.param == "shared" else None
    return Breakers(client, RULES)


def test_five_failures_in_a_row_open_it_and_four_do_not(breakers: Breakers) -> None:
    fail(breakers, 4)
    assert not is_refused(breakers)
    fail(breakers, 4)
    assert state(breakers).state is CircuitState.CLOSED
    fail(breakers)
    assert is_refused(breakers)


@pytest.mark.parametrize("first", [True, False])
def test_half_of_ten_calls_failing_opens_it_though_never_two_in_a_row(breakers: Breakers, first: bool) -> None:
    for number in range(9):
        ask(breakers, TransientError("HTTP 502") if (number % 2 == 0) is first else None)
    assert not state(breakers).opened_at
    ask(breakers, None if first else TransientError("HTTP 502"))
    assert is_refused(breakers)


def test_failures_long_past_do_not_count(breakers: Breakers, clock: Time) -> None:
    for _ in range(4):
        fail(breakers)
        ask(breakers)
    clock.pass_by(61)
    fail(breakers)
    ask(breakers)
    assert state(breakers).state is CircuitState.CLOSED


@pytest.mark.parametrize("error", [PermanentError("404"), RateError("429"), AuthError("401")])
def test_an_answer_is_a_success_whatever_it_says(breakers: Breakers, error: Exception) -> None:
    ask(breakers, error, count=10)
    for _ in range(2):
        fail(breakers, 4)
        ask(breakers, error)
    assert (state(breakers).state, state(breakers).success_count) == (CircuitState.CLOSED, 12)


@pytest.mark.parametrize("error", [ValueError("a bug"), NotAskedError("held back"), KeyboardInterrupt()])
def test_what_says_nothing_of_the_dependency_moves_nothing(breakers: Breakers, error: BaseException) -> None:
    fail(breakers, 4)
    with pytest.raises(type(error)), breakers.guard(NAME):
        raise error
    assert (state(breakers).failures_in_row, state(breakers).success_rate) == (4, 0)


def test_a_refusal_says_when_to_come_back_and_costs_no_attempt(breakers: Breakers, clock: Time) -> None:
    fail(breakers, 5)
    clock.pass_by(20)
    with pytest.raises(BreakerOpenError) as refused, breakers.guard(NAME):
        raise AssertionError("not to be asked")
    assert 40 <= refused.value.after_seconds <= 46
    assert isinstance(refused.value, SNOOZE)
    assert isinstance(refused.value, pybreaker.CircuitBreakerError)
    decided = decide_retry(refused.value, FailureHistory(8), max_attempts=8, jitter=0.0)
    assert (decided.outcome, decided.delay_seconds) == (RetryOutcome.SNOOZE, refused.value.after_seconds)


def test_the_call_that_opens_it_still_shows_its_own_error(breakers: Breakers) -> None:
    fail(breakers, 4)
    with pytest.raises(TransientError, match="the fifth"), breakers.guard(NAME):
        raise TransientError("the fifth")


def test_only_one_is_let_through_to_probe(breakers: Breakers, clock: Time) -> None:
    fail(breakers, 5)
    clock.pass_by(67)
    with breakers.guard(NAME):
        assert is_refused(breakers)
        assert state(breakers).state is CircuitState.HALF_OPEN
    assert not is_refused(breakers)
    assert state(breakers).state is CircuitState.CLOSED


def test_who_is_refused_for_a_probe_that_is_out_looks_again_soon(breakers: Breakers, clock: Time) -> None:
    fail(breakers, 5)
    clock.pass_by(67)
    with breakers.guard(NAME), pytest.raises(BreakerOpenError) as refused, breakers.guard(NAME):
        raise AssertionError("not to be asked")
    assert refused.value.after_seconds == 5


def test_a_probe_that_fails_waits_with_the_others_and_opens_it_for_twice_as_long(
    breakers: Breakers, clock: Time
) -> None:
    fail(breakers, 5)
    wait = 67.0
    for least in (120, 240, 240):
        clock.pass_by(wait + 0.001)
        with pytest.raises(TransientError, match="still down") as failed, breakers.guard(NAME):
            raise TransientError("still down")
        wait = failed.value.after_seconds
        assert least <= wait <= least * 1.1
        assert failed.value.waits_for == NAME


def test_a_failure_is_reported_for_how_long_nobody_was_answered(
    breakers: Breakers, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tds_core.breakers.breaker", "tds_core.errors"):  # no time between telling and asking
        monkeypatch.setattr(f"{module}.monotonic", lambda: 1000.0)
    for answers, silence in ((0, inf), (1, 20), (0, 40), (1, 20)):
        ask(breakers, count=answers)
        clock.pass_by(20)
        with pytest.raises(TransientError) as failed, breakers.guard(NAME):
            raise TransientError("HTTP 502")
        assert failed.value.silent_seconds == silence
        assert failed.value.waits_for == ""


def test_a_probe_that_never_ends_gives_its_right_back(breakers: Breakers, clock: Time) -> None:
    fail(breakers, 5)
    clock.pass_by(67)
    dead = breakers.guard(NAME)
    dead.__enter__()
    clock.pass_by(29)
    assert is_refused(breakers)
    clock.pass_by(1.5)
    with breakers.guard(NAME):
        dead.__exit__(TransientError, TransientError("too late"), None)
        assert state(breakers).state is CircuitState.HALF_OPEN
    assert state(breakers).state is CircuitState.HALF_OPEN


def test_a_probe_that_breaks_off_lets_the_next_one_try_at_once(breakers: Breakers, clock: Time) -> None:
    fail(breakers, 5)
    clock.pass_by(67)
    ask(breakers, ValueError("a bug"))
    assert not is_refused(breakers)


def test_calls_from_before_it_opened_neither_open_nor_close_it_later(breakers: Breakers, clock: Time) -> None:
    slow = [breakers.guard(NAME) for _ in range(6)]
    for each in slow:
        each.__enter__()
    fail(breakers, 5)
    clock.pass_by(67)
    ask(breakers, count=2)
    assert state(breakers).state is CircuitState.CLOSED
    for each in slow:
        each.__exit__(TransientError, TransientError("late"), None)
    assert state(breakers).state is CircuitState.CLOSED


def test_everything_is_counted(breakers: Breakers, clock: Time) -> None:
    ask(breakers, count=3)
    clock.pass_by(1)
    fail(breakers, 5)
    assert is_refused(breakers)
    assert is_refused(breakers)
    clock.pass_by(67)
    ask(breakers, count=2)
    found = state(breakers)
    assert (found.call_count, found.success_count, found.failure_count, found.rejection_count) == (10, 5, 5, 2)
    assert (found.success_rate, found.change_count, found.last_error) == (0.5, 3, "TransientError: HTTP 502")
    assert (found.last_success_at - found.opened_at).total_seconds() == 67
    assert found.last_success_at == breakers.last_success_at(NAME)
    assert breakers.last_success_at("zoho.token") is None


def test_an_operator_closes_it(breakers: Breakers) -> None:
    fail(breakers, 5)
    closed = breakers.reset(NAME, by="Nadia")
    assert (closed.state, closed.reset_by, closed.next_probe_at) == (CircuitState.CLOSED, "Nadia", None)
    fail(breakers, 4)
    assert not is_refused(breakers)
    with pytest.raises(NotFoundError):
        breakers.reset("zoho.books.nothing", by="Nadia")


def test_one_that_only_observes_reports_and_refuses_nobody(breakers: Breakers, clock: Time) -> None:
    for _ in range(9):
        breakers.observe(NAME, OSError("unreachable"))
    assert (state(breakers).state, state(breakers).rejection_count) == (CircuitState.OPEN, 0)
    clock.pass_by(67)
    breakers.observe(NAME)
    breakers.observe(NAME)
    assert state(breakers).state is CircuitState.CLOSED


def test_it_is_one_of_pybreaker_s_with_its_listeners(breakers: Breakers, clock: Time) -> None:
    class Ears(pybreaker.CircuitBreakerListener):
        changes: list[str] = []  # noqa: RUF012

        def state_change(self, cb, old_state, new_state) -> None:
            self.changes.append(new_state.name)

    breaker = breakers.breaker(NAME)
    breaker.add_listener(Ears())
    fail(breakers, 5)
    assert (breaker.current_state, breaker.fail_counter) == (pybreaker.STATE_OPEN, 5)
    with pytest.raises(pybreaker.CircuitBreakerError):
        breaker.call(lambda: "asked")
    clock.pass_by(67)
    assert breaker(lambda: "asked")() == "asked"
    assert breaker.success_counter == 1
    breaker.call(lambda: "asked")
    assert Ears.changes == ["open", "half-open", "closed"]


def test_a_probe_may_take_as_long_as_a_call_may_take(clock: Time) -> None:
    params = {"TDS_BREAKER_PROBE_SECONDS": "10", "TDS_HTTP_TIMEOUT_SECONDS": "100", "TDS_HTTP_CONNECT_SECONDS": "5"}
    breakers = open_breakers(load_settings(params))
    fail(breakers, 5)
    clock.pass_by(67)
    with breakers.guard(NAME):
        clock.pass_by(104)
        assert is_refused(breakers)


def test_every_threshold_is_a_setting(clock: Time) -> None:
    breakers = open_breakers(load_settings({"TDS_BREAKER_FAILURES": "2", "TDS_BREAKER_OPEN_SECONDS": "7"}))
    fail(breakers, 2)
    assert 7 <= (state(breakers).next_probe_at - state(breakers).opened_at).total_seconds() <= 7.7
