"""One breaker of pybreaker's kind, for which a store decides: it is asked before a call and told after it.

How a breaker stands, as people and programs are told.

What a process last heard of a circuit, in the place where pybreaker looks for a breaker's state.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from time import monotonic
from typing import Any, TypeVar

import pybreaker

from tds_core.breakers.circuit import CallOutcome, Circuit, Reply, Rules, State
from tds_core.breakers.stores import FailoverStore
from tds_core.errors import BreakerOpenError, SourceError, TransientError
from tds_core.observability import metrics


@dataclass(frozen=True, slots=True)
class BreakerState:
    """One breaker and its statistics since it was first used.

    `call_count` are the calls that were made; `success_rate`, from 0 to 1, is the successes among those whose end says
    something of the dependency. `opened_at` is when it last left the closed state. `is_shared` tells whether these are
    the figures of all processes, or of this one alone.
    """

    name: str
    state: State
    call_count: int
    success_count: int
    failure_count: int
    rejection_count: int
    change_count: int
    success_rate: float | None
    failures_in_row: int
    opened_at: datetime | None
    next_probe_at: datetime | None
    changed_at: datetime | None
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_error: str | None
    reset_by: str | None
    is_shared: bool


def state_of(name: str, circuit: Circuit, *, is_shared: bool, untold: int) -> BreakerState:
    """What is told of `circuit`; `untold` are rejections it has not heard of yet."""
    judged = circuit.success_count + circuit.failure_count
    return BreakerState(
        name=name,
        state=circuit.state,
        call_count=judged + circuit.neither_count,
        success_count=circuit.success_count,
        failure_count=circuit.failure_count,
        rejection_count=circuit.rejection_count + untold,
        change_count=circuit.change_count,
        success_rate=round(circuit.success_count / judged, 4) if judged else None,
        failures_in_row=circuit.failures_in_row,
        opened_at=moment(circuit.opened_at_ms),
        next_probe_at=None if circuit.state is State.CLOSED else moment(circuit.wake_at_ms),
        changed_at=moment(circuit.changed_at_ms),
        last_success_at=moment(circuit.last_success_at_ms),
        last_failure_at=moment(circuit.last_failure_at_ms),
        last_error=circuit.last_error or None,
        reset_by=circuit.reset_by or None,
        is_shared=is_shared,
    )


def moment(at_ms: int) -> datetime | None:
    """A time of a circuit; None for never."""
    return datetime.fromtimestamp(at_ms / 1000, UTC) if at_ms else None


# So long a process believes what it heard: of a closed circuit, since it hears again after every call; of an open one,
# since an operator may close it before its time.
CLOSED_TRUST_SECONDS = 0.2
OPEN_TRUST_SECONDS = 1.0
# Whoever is refused because a probe is out looks again this soon.
PROBE_WAIT_SECONDS = 5.0


class CachedState(pybreaker.CircuitBreakerStorage):
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


Result = TypeVar("Result")


class CircuitOpenError(BreakerOpenError, pybreaker.CircuitBreakerError):
    """A `BreakerOpenError` for those, too, who know pybreaker's name for it."""


class Breaker(pybreaker.CircuitBreaker):
    """pybreaker's breaker without its lock around the call, and with one probe at a time for all processes.

    `TransientError` is a failure; other source errors are answers, so they are successes, unless the source was not
    asked at all. A failure is told how long the dependency had answered nobody, which tells an outage from a fault of
    what was asked; and what failed as the probe, or opened the breaker, waits like the work that is refused.
    """

    def __init__(
        self, name: str, store: FailoverStore, rules: Rules, listeners: Sequence[pybreaker.CircuitBreakerListener]
    ) -> None:
        self._store, self._rules = store, rules
        self._heard = CachedState(name, lambda: store.circuits()[0].get(name, Circuit()))
        super().__init__(
            fail_max=rules.failures,
            reset_timeout=rules.open_seconds,
            success_threshold=rules.successes,
            exclude=[lambda error: not isinstance(error, TransientError)],
            listeners=listeners,
            state_storage=self._heard,
            name=name,
        )

    def call(self, func: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
        """Call `func` under this breaker. Raises `BreakerOpenError`, and what `func` raises."""
        with self.calling():
            return func(*args, **kwargs)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Run a block under this breaker. Raises `BreakerOpenError`, and what the block raises."""
        admitted = self._enter()
        try:
            yield
        except SourceError as error:
            now = self.settle(admitted, self.outcome_of(error), error)
            if isinstance(error, TransientError):
                error.silent_since = monotonic() - (inf if now.silent_ms is None else now.silent_ms / 1000)
                if now.state is not State.CLOSED:
                    error.waits_for, error.after_seconds = self._heard.name, self._heard.wait_seconds()
            raise
        except BaseException:  # whatever it is, it leaves with the probe's right otherwise
            self.settle(admitted, CallOutcome.NEITHER)
            raise
        self.settle(admitted, CallOutcome.SUCCESS)

    def outcome_of(self, error: SourceError) -> CallOutcome:
        """What an error says of the dependency."""
        if self.is_system_error(error):
            return CallOutcome.FAILURE
        return CallOutcome.SUCCESS if error.is_answer else CallOutcome.NEITHER

    def admit(self, *, weight: int = 1) -> Reply:
        """Ask leave for a call; what is known well enough is not asked for. A refusal counts `weight` rejections."""
        heard = self._heard
        if known := heard.known():
            if not known.is_admitted and weight:
                heard.note_rejection()
            return known
        reply = self._store.admit(heard.name, self._rules, rejections=heard.take_rejections(), weight=weight)
        self._hear(reply)
        return reply

    def settle(self, admitted: Reply, outcome: CallOutcome, error: BaseException | None = None) -> Reply:
        """Tell how a call ended. Returns how the circuit stands now."""
        reply = self._store.settle(
            self._heard.name,
            self._rules,
            admitted=admitted,
            outcome=outcome,
            jitter=random.random(),  # noqa: S311  (jitter, not a secret)
            error=f"{type(error).__name__}: {error}" if error else "",
            rejections=self._heard.take_rejections(),
        )
        self._hear(reply)
        for listener in self.listeners:
            if outcome is CallOutcome.FAILURE and error is not None:
                listener.failure(self, error)
            elif outcome is CallOutcome.SUCCESS:
                listener.success(self)
        return reply

    @property
    def untold_rejections(self) -> int:
        """Calls refused in this process that are not in the statistics yet; the next word to the store brings them."""
        return self._heard.untold_rejections

    def forget(self) -> None:
        """Believe nothing that was heard before."""
        self._heard.trusted_until = 0.0

    def _enter(self) -> Reply:
        admitted = self.admit()
        if not admitted.is_admitted:
            metrics.breaker_rejections.labels(self._heard.name).inc()
            raise self._refusal()
        for listener in self.listeners:
            listener.before_call(self, self.calling)
        return admitted

    def _refusal(self) -> CircuitOpenError:
        wait = self._heard.wait_seconds()
        return CircuitOpenError(self._heard.name, f"breaker {self._heard.state}, not asked", after_seconds=wait)

    def _hear(self, reply: Reply) -> None:
        """Keep `reply`; a state that changed, here or in another process, is told to the listeners once."""
        with self._lock:
            self._heard.hear(reply)
            _ = self.state  # looking is what makes pybreaker notice
