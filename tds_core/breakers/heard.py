"""What a process last heard of a circuit, in the place where pybreaker looks for a breaker's state."""

import threading
from collections.abc import Callable
from datetime import datetime
from time import monotonic

import pybreaker

from tds_core.breakers.circuit import Circuit, Reply, State
from tds_core.breakers.states import moment

# So long a process believes what it heard: of a closed circuit, since it hears again after every call; of an open one,
# since an operator may close it before its time.
CLOSED_TRUST_SECONDS = 0.2
OPEN_TRUST_SECONDS = 1.0
# Whoever is refused because a probe is out looks again this soon.
PROBE_WAIT_SECONDS = 5.0


class Heard(pybreaker.CircuitBreakerStorage):
    """The last reply, how long it may be believed, and the rejections the store has not been told of.

    The store alone writes states and counters; what pybreaker would write is let fall.
    """

    def __init__(self, name: str, read: Callable[[], Circuit]) -> None:
        super().__init__(name)
        self._read = read
        self._lock = threading.Lock()
        self._rejections = 0
        self.reply = Reply(State.CLOSED, 0, 0, is_admitted=True)
        self.trusted_until = self.wake_at = 0.0

    def hear(self, reply: Reply) -> None:
        """Keep `reply`."""
        now = monotonic()
        self.reply, self.wake_at = reply, now + reply.wait_ms / 1000
        is_closed = reply.state is State.CLOSED
        self.trusted_until = now + CLOSED_TRUST_SECONDS if is_closed else min(self.wake_at, now + OPEN_TRUST_SECONDS)

    def known(self) -> Reply | None:
        """The last reply while it may be believed."""
        return self.reply if monotonic() < self.trusted_until else None

    def wait_seconds(self) -> float:
        """How long until asking again makes sense; a probe that is out mostly ends well before its time is up."""
        left = max(0.0, self.wake_at - monotonic())
        return min(left, PROBE_WAIT_SECONDS) if self.reply.state is State.HALF_OPEN else left

    @property
    def untold_rejections(self) -> int:
        """Calls that were refused here and that the store has not been told of."""
        return self._rejections

    def note_rejection(self) -> None:
        """Count a call that was refused here, without asking the store."""
        with self._lock:
            self._rejections += 1

    def take_rejections(self) -> int:
        """The rejections to tell the store of; told once."""
        with self._lock:
            count, self._rejections = self._rejections, 0
        return count

    @property
    def state(self) -> str:
        """The state last heard of."""
        return self.reply.state.value

    @state.setter
    def state(self, state: str) -> None:
        pass

    @property
    def counter(self) -> int:
        """Failures in a row, as the store has them now."""
        return self._read().failures_in_row

    @property
    def success_counter(self) -> int:
        """Successful probes in a row, as the store has them now."""
        return self._read().successes_in_row

    @property
    def opened_at(self) -> datetime | None:
        """When the circuit last left the closed state, as the store has it now."""
        return moment(self._read().opened_at_ms)

    @opened_at.setter
    def opened_at(self, datetime: datetime) -> None:
        pass
