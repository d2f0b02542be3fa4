"""Dear answers are shared by all readers, read again beside them, and never older than a minute."""

from threading import Event

import pytest

from tds_api.pages.common import answer_cache
from tds_api.pages.common.answer import Answer
from tds_api.pages.common.answer_cache import AnswerCache


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(answer_cache, "monotonic", clock)
    return clock


def test_a_second_reader_gets_the_answer_of_the_first(clock: Clock) -> None:
    cache, numbers = AnswerCache(), iter(range(9))
    assert [cache.get("a", lambda: Answer("a", 200, next(numbers))).data for _ in range(3)] == [0, 0, 0]
    assert cache.get("b", lambda: Answer("b", 200, next(numbers))).data == 1


def test_an_older_answer_is_shown_while_a_newer_one_is_read_once(clock: Clock) -> None:
    cache, numbers, may_read = AnswerCache(), iter(range(9)), Event()

    def read() -> Answer:
        may_read.wait(5)
        return Answer("a", 200, next(numbers))

    may_read.set()
    cache.get("a", read)
    may_read.clear()
    clock.now += 20
    assert [cache.get("a", read).data for _ in range(3)] == [0, 0, 0]
    may_read.set()
    cache._reader.shutdown(wait=True)
    assert (cache.get("a", read).data, next(numbers)) == (1, 2)


def test_an_answer_of_more_than_a_minute_is_waited_for(clock: Clock) -> None:
    cache, numbers = AnswerCache(), iter(range(9))
    cache.get("a", lambda: Answer("a", 200, next(numbers)))
    clock.now += 61
    assert cache.get("a", lambda: Answer("a", 200, next(numbers))).data == 1


def test_a_refusal_is_not_kept(clock: Clock) -> None:
    cache = AnswerCache()
    assert not cache.get("a", lambda: Answer("a", 503, None, {"detail": "away"}))
    assert cache.get("a", lambda: Answer("a", 200, "here")).data == "here"
