"""One breaker of pybreaker's kind, for which a store decides: it is asked before a call and told after it."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from time import monotonic
from typing import Any, TypeVar

import pybreaker

from tds_core import metrics
from tds_core.breakers.circuit import Circuit, Outcome, Reply, State
from tds_core.breakers.enduring import EnduringStore
from tds_core.breakers.heard import Heard
from tds_core.breakers.rules import Rules
from tds_core.sources.errors import BreakerOpenError, SourceError, TransientError

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
        self, name: str, store: EnduringStore, rules: Rules, listeners: Sequence[pybreaker.CircuitBreakerListener]
    ) -> None:
        self._store, self._rules = store, rules
        self._heard = Heard(name, lambda: store.circuits()[0].get(name, Circuit()))
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
            self.settle(admitted, Outcome.NEITHER)
            raise
        self.settle(admitted, Outcome.SUCCESS)

    def outcome_of(self, error: SourceError) -> Outcome:
        """What an error says of the dependency."""
        if self.is_system_error(error):
            return Outcome.FAILURE
        return Outcome.SUCCESS if error.is_answer else Outcome.NEITHER

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

    def settle(self, admitted: Reply, outcome: Outcome, error: BaseException | None = None) -> Reply:
        """Tell how a call ended. Returns how the circuit stands now."""
        reply = self._store.settle(
            self._heard.name,
            self._rules,
            admitted=admitted,
            outcome=outcome,
            chance=random.random(),  # noqa: S311  (jitter, not a secret)
            error=f"{type(error).__name__}: {error}" if error else "",
            rejections=self._heard.take_rejections(),
        )
        self._hear(reply)
        for listener in self.listeners:
            if outcome is Outcome.FAILURE and error is not None:
                listener.failure(self, error)
            elif outcome is Outcome.SUCCESS:
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
