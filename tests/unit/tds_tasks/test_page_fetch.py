"""Working ahead: the same items in the same order, errors where they belong, and nothing left running."""

import threading
from collections.abc import Iterator

import pytest
import structlog

from tds_tasks.page_fetch import prefetch


def test_items_come_in_order_and_the_next_is_made_while_one_is_used() -> None:
    made: list[int] = []
    second_made = threading.Event()

    def items() -> Iterator[int]:
        for number in range(4):
            made.append(number)
            if number == 1:
                second_made.set()
            yield number

    with prefetch(items()) as ready:
        assert next(ready) == 0
        assert second_made.wait(5)
        assert list(ready) == [1, 2, 3]
    assert made == [0, 1, 2, 3]


def test_an_error_comes_out_where_its_item_would_have() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("the second page")

    with prefetch(items()) as ready:
        assert next(ready) == 1
        with pytest.raises(ValueError, match="the second page"):
            next(ready)


def test_leaving_early_makes_no_more_than_one_item_and_leaves_no_thread() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    with prefetch(items()) as ready:
        next(ready)
    assert len(made) <= 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_the_thread_speaks_with_its_maker_s_context() -> None:
    def items() -> Iterator[object]:
        yield structlog.contextvars.get_contextvars().get("correlation_id")

    with structlog.contextvars.bound_contextvars(correlation_id="abc"), prefetch(items()) as ready:
        assert list(ready) == ["abc"]
