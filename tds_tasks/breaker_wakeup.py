"""Breaker wake-up: makes work due again that waits for circuit breakers which closed or are due for a probe."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from math import ceil

from sqlalchemy.orm import Session

from tds_core.breakers.breaker import BreakerStatus
from tds_core.breakers.circuit import CircuitState
from tds_core.breakers.registry import Breakers, BreakersAwayError
from tds_core.queue import breaker_wakeup
from tds_models.entities import ENTITIES

# A probe that was woken is given so long to be made before another is woken.
PROBE_SECONDS = 2.0
# Where the quota has no limit a look still wakes no more items of an entity than this.
MOST_AT_ONCE = 2000


class BreakerWakeup:
    """Wakes at every look what may be read until the next one. Redis is asked only while work waits."""

    def __init__(self, breakers: Breakers, *, calls_per_minute: Callable[[], int], look_seconds: float) -> None:
        """`calls_per_minute`: the limit in force; 0: none."""
        self._breakers = breakers
        self._calls_per_minute, self._look_seconds = calls_per_minute, look_seconds
        self._batches = {name: entity.stream.batch for name, entity in ENTITIES.items()}
        self._woken_at: dict[str, float] = {}

    def look(self, scope: Callable[[], AbstractContextManager[Session]]) -> None:
        """Wake what may go on. While Redis is away nobody knows what may, and all wait out their time."""
        with scope() as session:
            if not breaker_wakeup.is_anything_waiting(session):
                return
        try:
            states = self._breakers.states(of_all=True)
        except BreakersAwayError:
            return
        for name in answering_again(states):
            self._breakers.hasten(name)
        probes = self._due_probes(states)
        with scope() as session:
            breaker_wakeup.wake_blocked_work(
                session, closed=[s.name for s in states if self._may_be_called(s)], counts=self._counts()
            )
            for name in probes:
                breaker_wakeup.wake_one(session, name, entities=list(self._batches))

    def _counts(self) -> dict[str, int]:
        """By entity, how many items may be read until the next look."""
        per_minute = self._calls_per_minute()
        calls = ceil(per_minute / 60 * self._look_seconds) if per_minute else MOST_AT_ONCE
        return {name: min(MOST_AT_ONCE, calls * (batch.size if batch else 1)) for name, batch in self._batches.items()}

    def _may_be_called(self, status: BreakerStatus) -> bool:
        return status.state is CircuitState.CLOSED or not self._breakers.refuses()

    def _due_probes(self, states: Sequence[BreakerStatus]) -> list[str]:
        now, moment = datetime.now(UTC), time.monotonic()
        due = [
            state.name
            for state in states
            if state.next_probe_at and state.next_probe_at <= now
            if moment - self._woken_at.get(state.name, -PROBE_SECONDS) >= PROBE_SECONDS
        ]
        self._woken_at.update(dict.fromkeys(due, moment))
        return due


def answering_again(states: Sequence[BreakerStatus]) -> list[str]:
    """Open breakers of sources another part of which has answered again since: an outage ends for all parts at once.

    One whose probe failed since waits its time: it was not the outage, or not it alone.
    """
    closed_at: dict[str, datetime] = {}
    for state in states:
        if state.state is CircuitState.CLOSED and state.changed_at:
            source = source_of(state.name)
            closed_at[source] = max(state.changed_at, closed_at.get(source, state.changed_at))
    return [
        state.name
        for state in states
        if state.state is CircuitState.OPEN and state.changed_at
        if closed_at.get(source_of(state.name), state.changed_at) > state.changed_at
    ]


def source_of(name: str) -> str:
    """The source a breaker guards a part of, `zoho` of `zoho.books.invoices`."""
    return name.partition(".")[0]
