"""Among the bodies of one record: the newest speaks, unless the bodies cannot tell."""

from datetime import datetime
from itertools import permutations

from tds_core.queue.webhook_body_selection import Event, choose
from tests.support.world import at


def event(number: int, second: int | None, *, complete: bool = True) -> Event:
    modified_at: datetime | None = None if second is None else at(second)
    return Event(number, "1", modified_at, complete, "{}", "")


def test_nothing_speaks_when_there_is_nothing() -> None:
    assert choose([]) is None


def test_the_newest_body_speaks_in_whatever_order_they_came() -> None:
    for order in permutations([event(1, 3), event(2, 9), event(3, 5)]):
        chosen = choose(order)
        assert chosen is not None
        assert chosen.id == 2


def test_two_bodies_of_the_newest_second_leave_the_order_open() -> None:
    assert choose([event(1, 9), event(2, 9), event(3, 5)]) is None
    chosen = choose([event(1, 5), event(2, 5), event(3, 9)])
    assert chosen is not None
    assert chosen.id == 3


def test_a_newest_body_that_is_not_whole_says_nothing() -> None:
    assert choose([event(1, 3), event(2, 9, complete=False)]) is None


def test_a_body_without_a_time_is_older_than_any_with_one() -> None:
    chosen = choose([event(5, None), event(1, 3)])
    assert chosen is not None
    assert chosen.id == 1
