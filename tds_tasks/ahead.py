"""Working ahead: an iterator that runs in a thread of its own, so that its next item is ready when it is asked for."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def ahead(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """The same items, each made in another thread while the one before it is being used.

    An error in `items` comes out where its item would have. Leaving the block waits for the item being made, no more.
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as worker:

        def take() -> Iterator[T]:
            coming: Future[T | object] = worker.submit(copy_context().run, next, items, end)
            while (item := coming.result()) is not end:
                coming = worker.submit(copy_context().run, next, items, end)
                yield item  # type: ignore[misc]  # it is not the end, so it is a T

        yield take()
