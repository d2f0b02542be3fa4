"""The schedule of nemeses: a seeded order in which they begin, overlap and end."""

import heapq
import time
from collections.abc import Callable, Iterator, Sequence

import psutil
import redis
import requests
from sqlalchemy.exc import SQLAlchemyError

from tds_core.errors import EmbeddedServerError
from tds_lab.chaos.context import ChaosContext
from tds_lab.chaos.nemesis_registry import NEMESES

LOOK_SECONDS = 0.05
#: Errors of a nemesis whose target another one has already broken.
MISSED = (psutil.Error, redis.RedisError, SQLAlchemyError, requests.RequestException)

OnEvent = Callable[[str, str], None]


class Schedule:
    """Begins a nemesis about every `pace_seconds`, by the context's seeded randomness, and ends each in its time.

    `on_event(name, what)` is called when one begins, ends or misses.
    """

    def __init__(self, context: ChaosContext, names: Sequence[str], *, pace_seconds: float, on_event: OnEvent) -> None:
        self._context, self._names, self._pace, self._on_event = context, names, pace_seconds, on_event
        self._open: list[tuple[float, str, Iterator[float]]] = []

    def run(self, until: float, meanwhile: Callable[[], bool]) -> None:
        """Run until the monotonic time `until`, or until `meanwhile()`, called all the time, is true; then end all."""
        begin_at = time.monotonic() + self._pause()
        try:
            while time.monotonic() < until and not meanwhile():
                self._end_due(time.monotonic())
                if time.monotonic() >= begin_at:
                    self._begin()
                    begin_at = time.monotonic() + self._pause()
                time.sleep(LOOK_SECONDS)
        finally:
            while self._open:
                time.sleep(max(0.0, self._open[0][0] - time.monotonic()))
                self._end_due(time.monotonic())

    def _pause(self) -> float:
        return self._context.jitter.uniform(0.3, 1.7) * self._pace

    def _begin(self) -> None:
        busy = {NEMESES[name].target for _, name, _ in self._open}
        free = [name for name in self._names if NEMESES[name].target not in busy]
        if free:
            name = self._context.jitter.choice(free)
            self._on_event(name, "begins")
            self._resume(name, NEMESES[name].fault(self._context))

    def _end_due(self, now: float) -> None:
        while self._open and self._open[0][0] <= now:
            _, name, act = heapq.heappop(self._open)
            self._resume(name, act)

    def _resume(self, name: str, act: Iterator[float]) -> None:
        try:
            seconds = next(act)
        except StopIteration:
            self._on_event(name, "ended")
        except MISSED as error:
            self._on_event(name, f"missed: {type(error).__name__}")
        except EmbeddedServerError as error:  # its supervisor keeps trying
            self._on_event(name, f"missed: {error}")
        else:
            heapq.heappush(self._open, (time.monotonic() + seconds, name, act))
