"""One circuit breaker with pybreaker's interface; its circuit is held by a store that several processes may share.

`Breaker` asks the store before a call and reports the outcome after it. `CachedState` is the process's copy of the
circuit, which saves the round trip before most calls. `BreakerStatus` is the view for operators and programs.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from time import monotonic
from typing import Any, TypeVar

import pybreaker

from tds_core.breakers.circuit import NO_TURN, CallOutcome, Circuit, CircuitReply, CircuitState, Thresholds
from tds_core.breakers.stores import FailoverStore
from tds_core.errors import BreakerOpenError, SourceError, TransientError
from tds_core.observability import metrics


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    """One breaker and its statistics since it was first used.

    `call_count`: calls made. `success_rate`: successes among successes and failures, 0 to 1. `opened_at`: when it last
    left the closed state. `is_shared`: the figures are of all processes, not of this one alone.
    """

    name: str
    state: CircuitState
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


def breaker_status(name: str, circuit: Circuit, *, is_shared: bool, unreported_rejections: int) -> BreakerStatus:
    """The status of `circuit`; `unreported_rejections`: rejections of this process that it does not count yet."""
    judged = circuit.success_count + circuit.failure_count
    return BreakerStatus(
        name=name,
        state=circuit.state,
        call_count=judged + circuit.neither_count,
        success_count=circuit.success_count,
        failure_count=circuit.failure_count,
        rejection_count=circuit.rejection_count + unreported_rejections,
        change_count=circuit.change_count,
        success_rate=round(circuit.success_count / judged, 4) if judged else None,
        failures_in_row=circuit.failures_in_row,
        opened_at=moment(circuit.opened_at_ms),
        next_probe_at=None if circuit.state is CircuitState.CLOSED else moment(circuit.wake_at_ms),
        changed_at=moment(circuit.changed_at_ms),
        last_success_at=moment(circuit.last_success_at_ms),
        last_failure_at=moment(circuit.last_failure_at_ms),
        last_error=circuit.last_error or None,
        reset_by=circuit.reset_by or None,
        is_shared=is_shared,
    )


def moment(at_ms: int) -> datetime | None:
    """A circuit's time in milliseconds as a datetime; None for 0, which means never."""
    return datetime.fromtimestamp(at_ms / 1000, UTC) if at_ms else None


# How long the cached state is used without asking the store. A closed circuit is refreshed after every call anyway; an
# open one may be closed early by an operator.
CLOSED_FRESH_SECONDS = 0.2
OPEN_FRESH_SECONDS = 1.0
# Longest wait of a call that is refused because another one is the probe.
PROBE_WAIT_SECONDS = 5.0


class CachedState(pybreaker.CircuitBreakerStorage):
    """The store's last reply, until when it is fresh, and the rejections not yet reported to the store.

    pybreaker reads its state here. What pybreaker writes is ignored: only the store changes states and counters.
    """

    def __init__(self, name: str, read: Callable[[], Circuit]) -> None:
        super().__init__(name)
        self._read = read
        self._lock = threading.Lock()
        self._rejections = 0
        self.reply = CircuitReply(CircuitState.CLOSED, 0, 0, is_admitted=True)
        self.fresh_until = self.wake_at = 0.0

    def update(self, reply: CircuitReply) -> None:
        """Replace the cached reply."""
        now = monotonic()
        self.reply, self.wake_at = reply, now + reply.wait_ms / 1000
        is_closed = reply.state is CircuitState.CLOSED
        self.fresh_until = now + CLOSED_FRESH_SECONDS if is_closed else min(self.wake_at, now + OPEN_FRESH_SECONDS)

    def fresh(self) -> CircuitReply | None:
        """The cached reply while it is fresh, else None."""
        return self.reply if monotonic() < self.fresh_until else None

    def wait_seconds(self) -> float:
        """Seconds until the next call may be admitted; short while a probe runs, since most end early."""
        left = max(0.0, self.wake_at - monotonic())
        return min(left, PROBE_WAIT_SECONDS) if self.reply.state is CircuitState.HALF_OPEN else left

    @property
    def unreported_rejections(self) -> int:
        """Calls refused in this process that the store does not count yet."""
        return self._rejections

    def note_rejection(self) -> None:
        """Count a call refused from the cached state."""
        with self._lock:
            self._rejections += 1

    def take_rejections(self) -> int:
        """Return the rejections to report to the store and reset their count."""
        with self._lock:
            count, self._rejections = self._rejections, 0
        return count

    @property
    def state(self) -> str:
        """The cached state, in pybreaker's spelling."""
        return self.reply.state.value

    @state.setter
    def state(self, state: str) -> None:
        pass

    @property
    def counter(self) -> int:
        """Failures in a row, read from the store."""
        return self._read().failures_in_row

    @property
    def success_counter(self) -> int:
        """Successful probes in a row, read from the store."""
        return self._read().successes_in_row

    @property
    def opened_at(self) -> datetime | None:
        """When the circuit last left the closed state, read from the store."""
        return moment(self._read().opened_at_ms)

    @opened_at.setter
    def opened_at(self, datetime: datetime) -> None:
        pass


Result = TypeVar("Result")


class CircuitOpenError(BreakerOpenError, pybreaker.CircuitBreakerError):
    """A `BreakerOpenError` that is also pybreaker's error."""


class Breaker(pybreaker.CircuitBreaker):
    """pybreaker's breaker without its lock around the call, and with one probe at a time across all processes.

    `TransientError` counts as a failure. Any other source error is a response and counts as a success, unless the call
    was not made at all. A failure gets `silent_since`, which distinguishes an outage from a fault of one call; a failed
    probe, or the failure that opened the breaker, also gets `waits_for`, so that its work waits like refused work.
    """

    def __init__(
        self,
        name: str,
        store: FailoverStore,
        thresholds: Callable[[], Thresholds],
        listeners: Sequence[pybreaker.CircuitBreakerListener],
        *,
        refuses: Callable[[], bool],
    ) -> None:
        """`thresholds`: those in force, asked for at every report. `refuses`: False while the switch is off."""
        self._store, self._thresholds_now, self._refuses = store, thresholds, refuses
        self._cached = CachedState(name, lambda: store.circuits()[0].get(name, Circuit()))
        super().__init__(
            fail_max=thresholds().failures,
            reset_timeout=thresholds().open_seconds,
            success_threshold=thresholds().successes,
            exclude=[lambda error: not isinstance(error, TransientError)],
            listeners=listeners,
            state_storage=self._cached,
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
            now = self.record_outcome(admitted, self.outcome_of(error), error)
            if isinstance(error, TransientError):
                error.silent_since = monotonic() - (inf if now.silent_ms is None else now.silent_ms / 1000)
                if now.state is not CircuitState.CLOSED and self._refuses():
                    error.waits_for, error.after_seconds = self._cached.name, self._cached.wait_seconds()
            raise
        except BaseException:  # a probe must be given back whatever ends it
            self.record_outcome(admitted, CallOutcome.NEITHER)
            raise
        self.record_outcome(admitted, CallOutcome.SUCCESS)

    def outcome_of(self, error: SourceError) -> CallOutcome:
        """Whether `error` shows that the dependency works, that it fails, or neither."""
        if self.is_system_error(error):
            return CallOutcome.FAILURE
        return CallOutcome.SUCCESS if error.is_answer else CallOutcome.NEITHER

    def admit(self, *, weight: int = 1) -> CircuitReply:
        """Admit or refuse a call, from the cached state while it is fresh. A refusal counts `weight` rejections."""
        cached = self._cached
        if reply := cached.fresh():
            if not reply.is_admitted and weight:
                cached.note_rejection()
            return reply
        reply = self._store.admit(
            cached.name, self._thresholds_now(), rejections=cached.take_rejections(), weight=weight
        )
        self._update(reply)
        return reply

    def record_outcome(
        self, admitted: CircuitReply, outcome: CallOutcome, error: BaseException | None = None
    ) -> CircuitReply:
        """Report the outcome of a call to the store. Returns the circuit's reply."""
        reply = self._store.record_outcome(
            self._cached.name,
            self._thresholds_now(),
            admitted=admitted,
            outcome=outcome,
            jitter=random.random(),  # noqa: S311  (jitter, not a secret)
            error=f"{type(error).__name__}: {error}" if error else "",
            rejections=self._cached.take_rejections(),
        )
        self._update(reply)
        for listener in self.listeners:
            if outcome is CallOutcome.FAILURE and error is not None:
                listener.failure(self, error)
            elif outcome is CallOutcome.SUCCESS:
                listener.success(self)
        return reply

    @property
    def unreported_rejections(self) -> int:
        """Calls refused in this process that are not in the statistics yet; the next report to the store adds them."""
        return self._cached.unreported_rejections

    def invalidate(self) -> None:
        """Make the next call ask the store."""
        self._cached.fresh_until = 0.0

    def _enter(self) -> CircuitReply:
        refuses = self._refuses()
        admitted = self.admit(weight=1 if refuses else 0)
        if not admitted.is_admitted and not refuses:  # what this call shows must not move a circuit it ignored
            admitted = replace(admitted, turn=NO_TURN)
        elif not admitted.is_admitted:
            metrics.breaker_rejections.labels(self._cached.name).inc()
            raise self._refusal()
        for listener in self.listeners:
            listener.before_call(self, self.calling)
        return admitted

    def _refusal(self) -> CircuitOpenError:
        wait = self._cached.wait_seconds()
        return CircuitOpenError(self._cached.name, f"breaker {self._cached.state}, not asked", after_seconds=wait)

    def _update(self, reply: CircuitReply) -> None:
        """Cache `reply`. A changed state, also one changed by another process, notifies the listeners once."""
        with self._lock:
            self._cached.update(reply)
            _ = self.state  # reading it makes pybreaker compare and notify
