"""Breakers promise to share what they learn through Redis, and to go on without it, neither importing nor waiting."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import fakeredis
import pytest
import redis

from tds_core.breakers.circuit import CircuitState
from tds_core.breakers.registry import Breakers, BreakersAwayError
from tests.support.breaker_clock import NAME, RULES, Time, ask, fail, is_refused, state


@pytest.fixture
def pair(clock: Time) -> tuple[Breakers, Breakers]:
    """Two processes with one Redis."""
    server = fakeredis.FakeServer()
    return Breakers(fakeredis.FakeRedis(server=server), RULES), Breakers(fakeredis.FakeRedis(server=server), RULES)


def test_what_one_process_learns_the_others_know(pair: tuple[Breakers, Breakers], clock: Time) -> None:
    one, other = pair
    fail(one, 3)
    fail(other, 2)
    clock.pass_by(0.25)
    assert is_refused(one)
    assert is_refused(other)


def test_a_reset_is_heard_within_a_second(pair: tuple[Breakers, Breakers], clock: Time) -> None:
    one, other = pair
    fail(one, 5)
    other.reset(NAME, by="Nadia")
    clock.pass_by(1.01)
    assert not is_refused(one)


def test_one_that_is_hastened_is_probed_at_once_and_waits_longer_when_that_fails(
    pair: tuple[Breakers, Breakers], clock: Time
) -> None:
    one, other = pair
    fail(one, 5)
    other.hasten(NAME)
    clock.pass_by(1.01)
    fail(one)
    clock.pass_by(1.01)
    assert is_refused(one)
    assert state(one).next_probe_at - state(one).changed_at >= timedelta(seconds=2 * RULES.open_seconds)


def test_hastening_opens_no_way_around_a_closed_one_or_one_that_is_due(
    pair: tuple[Breakers, Breakers], clock: Time
) -> None:
    one, other = pair
    ask(one)
    before = state(one)
    other.hasten(NAME)
    other.hasten("zoho.books.nothing")
    assert state(one) == before
    assert [each.name for each in one.states()] == [NAME]


class Ailing(fakeredis.FakeRedis):
    """A Redis that raises what it is told to, and counts how often it was asked."""

    ailment: Exception | None = None
    asked = 0

    def execute_command(self, *args, **options):
        type(self).asked += 1
        if self.ailment:
            raise self.ailment
        return super().execute_command(*args, **options)


AILMENTS = [redis.ConnectionError("refused"), redis.TimeoutError("frozen"), redis.ResponseError("OOM"), OSError("away")]


@pytest.fixture(params=AILMENTS, ids=lambda error: type(error).__name__)
def ailing(request: pytest.FixtureRequest, clock: Time) -> Iterator[Callable[[bool], None]]:
    Ailing.ailment, Ailing.asked = None, 0
    yield lambda ill: setattr(Ailing, "ailment", request.param if ill else None)
    Ailing.ailment = None


def test_without_redis_a_process_goes_on_alone_and_rarely_looks(ailing: Callable[[bool], None], clock: Time) -> None:
    ailing(True)
    breakers = Breakers(Ailing(server=fakeredis.FakeServer()), RULES)
    fail(breakers, 5)
    assert is_refused(breakers)
    assert not state(breakers).is_shared
    assert Ailing.asked == 1
    clock.pass_by(67)
    ask(breakers, count=2)
    assert state(breakers).state is CircuitState.CLOSED


def test_what_was_open_stays_open_when_redis_goes_away(ailing: Callable[[bool], None], clock: Time) -> None:
    breakers = Breakers(Ailing(server=fakeredis.FakeServer()), RULES)
    fail(breakers, 5)
    ailing(True)
    clock.pass_by(59)
    assert is_refused(breakers)
    clock.pass_by(8)
    assert not is_refused(breakers)


def test_when_redis_is_back_its_word_counts_again(ailing: Callable[[bool], None], clock: Time) -> None:
    breakers = Breakers(Ailing(server=fakeredis.FakeServer()), RULES)
    ask(breakers)
    with breakers.guard(NAME):
        ailing(True)
    fail(breakers, 5)
    assert is_refused(breakers)
    ailing(False)
    clock.pass_by(5.5)
    assert not is_refused(breakers)
    assert (state(breakers).is_shared, state(breakers).success_count) == (True, 2)


def test_a_reset_is_for_all_processes_or_none(ailing: Callable[[bool], None]) -> None:
    ailing(True)
    breakers = Breakers(Ailing(server=fakeredis.FakeServer()), RULES)
    fail(breakers, 5)
    with pytest.raises(BreakersAwayError):
        breakers.reset(NAME, by="Nadia")
    with pytest.raises(BreakersAwayError):
        breakers.states(of_all=True)
    assert is_refused(breakers)
