"""Page fetching: requests the pages of a run's list, each while the one before it is being worked on."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from tds_core.quality.future_timestamps import Clock
from tds_core.queue import items as queue_items
from tds_core.sources.base import ListPage, Traffic
from tds_core.sync.position import Position
from tds_core.sync.runs import RunLease
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Order
from tds_tasks.context import read_scope, settings, source

# The database's clock is read once in this time: a page requested later only counts as somewhat older than it is.
CLOCK_SECONDS = 1.0

T = TypeVar("T")


@contextmanager
def prefetch(items: Iterator[T], *, ahead: int = 1) -> Iterator[Iterator[T]]:
    """The same items, made in another thread while those before them are being used: at most so many `ahead`.

    An error in `items` is raised where its item would have come. Leaving the block waits for the item being made.
    """
    end = object()
    worker = ThreadPoolExecutor(1, thread_name_prefix="ahead")

    def submit() -> Future[T | object]:
        return worker.submit(copy_context().run, next, items, end)

    def results() -> Iterator[T]:
        coming = deque(submit() for _ in range(ahead))
        while (item := coming.popleft().result()) is not end:
            coming.append(submit())
            yield item

    try:
        yield results()
    finally:
        worker.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """A page, the database's clock before it was requested, how long it took and how many calls it cost."""

    page: ListPage
    read_at: datetime
    seconds: float
    call_count: int


def fetch_pages(run: RunLease, until: float, *, traffic: Traffic = Traffic.SCHEDULED) -> Iterator[FetchedPage]:
    """The pages from the run's position on: at least one, and no more once the time is up."""
    position = run.position
    read_at, clock_read_at = None, 0.0
    while True:
        if read_at is None or time.monotonic() - clock_read_at > CLOCK_SECONDS:
            clock_read_at = time.monotonic()
            with read_scope() as session:
                read_at = queue_items.database_clock(session)
        fetched = _fetch_page(run, position, read_at, traffic)
        yield fetched
        position = position.after(fetched.page)
        if position.ended or time.monotonic() >= until:
            return


def _fetch_page(run: RunLease, position: Position, read_at: datetime, traffic: Traffic) -> FetchedPage:
    stream = ENTITIES[run.entity].stream
    client = source(stream.source)
    began, calls = time.monotonic(), client.call_count
    if not position.asks_order:
        stream = replace(stream, order=Order.NONE)
    page = client.list_page(stream, since=position.since, page=position.page, traffic=traffic)
    if page.clock is None:
        page = replace(page, clock=Clock(read_at, timedelta(seconds=settings().clock_tolerance_seconds)))
    return FetchedPage(page, read_at, time.monotonic() - began, client.call_count - calls)
