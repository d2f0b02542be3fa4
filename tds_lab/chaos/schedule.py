"""The schedule: a seeded order in which nemeses come, overlap and go."""

import heapq
import time
from collections.abc import Callable, Iterator, Sequence

import psutil
import redis
import requests
from sqlalchemy.exc import SQLAlchemyError

from tds_core.errors import EmbeddedServerError
from tds_lab.chaos.context import ChaosContext
from tds_lab.chaos.nemeses import NEMESES

LOOK_SECONDS = 0.05
#: What a nemesis meets when another was there before it.
MISSED = (psutil.Error, redis.RedisError, SQLAlchemyError, requests.RequestException)

OnAct = Callable[[str, str], None]


class Schedule:
    """Begins a nemesis every `pace_seconds` or so, as the arena's chance has it, and ends each in its time.

    `on_act(name, what)` hears when one begins, ends or misses.
    """

    def __init__(self, arena: ChaosContext, names: Sequence[str], *, pace_seconds: float, on_act: OnAct) -> None:
        self._arena, self._names, self._pace, self._on_act = arena, names, pace_seconds, on_act
        self._open: list[tuple[float, str, Iterator[float]]] = []

    def run(self, until: float, meanwhile: Callable[[], bool]) -> None:
        """Until the monotonic time `until`, or until `meanwhile()`, asked all the time, is true; then end all."""
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
        return self._arena.jitter.uniform(0.3, 1.7) * self._pace

    def _begin(self) -> None:
        busy = {NEMESES[name].meets for _, name, _ in self._open}
        free = [name for name in self._names if NEMESES[name].meets not in busy]
        if free:
            name = self._arena.jitter.choice(free)
            self._on_act(name, "begins")
            self._take_up(name, NEMESES[name].act(self._arena))

    def _end_due(self, now: float) -> None:
        while self._open and self._open[0][0] <= now:
            _, name, act = heapq.heappop(self._open)
            self._take_up(name, act)

    def _take_up(self, name: str, act: Iterator[float]) -> None:
        try:
            seconds = next(act)
        except StopIteration:
            self._on_act(name, "ended")
        except MISSED as error:
            self._on_act(name, f"missed: {type(error).__name__}")
        except EmbeddedServerError as error:  # whoever keeps the server goes on trying
            self._on_act(name, f"missed: {error}")
        else:
            heapq.heappush(self._open, (time.monotonic() + seconds, name, act))
