"""The circuit of one breaker: its thresholds, state and transitions, without clock, network or randomness.

`redis_script` implements the same transitions in Lua; the tests compare the two.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import pybreaker

#: Number of steps the sliding window of the failure rate is divided into.
WINDOW_STEPS = 12
#: An open period is up to this share longer, so that circuits that opened together are not probed together.
JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of one circuit.

    It opens after `failures` failures in a row, or when at least `failure_percent` of at least `least_calls` calls
    within `window_seconds` failed. It is probed after `open_seconds`, then after twice as long for each failed
    probe, at most `open_most_seconds`. It closes after `successes` successful probes in a row. A probe without an
    outcome expires after `probe_seconds`.
    """

    failures: int = 5
    failure_percent: int = 50
    least_calls: int = 10
    window_seconds: float = 60.0
    open_seconds: float = 60.0
    open_most_seconds: float = 240.0
    successes: int = 2
    probe_seconds: float = 60.0

    @property
    def step_ms(self) -> int:
        """Milliseconds of one step of the window."""
        return max(1, round(self.window_seconds * 1000 / WINDOW_STEPS))

    def open_ms(self, reopenings: int, jitter: float) -> int:
        """Milliseconds until the next probe after `reopenings` failed ones; `jitter` is random, 0 to 1."""
        doubled = self.open_seconds * 2 ** min(reopenings, 30)
        return int(min(doubled, self.open_most_seconds) * 1000 * (1 + JITTER * jitter))


class CircuitState(StrEnum):
    """The states of a circuit, in pybreaker's spelling."""

    CLOSED = pybreaker.STATE_CLOSED
    OPEN = pybreaker.STATE_OPEN
    HALF_OPEN = pybreaker.STATE_HALF_OPEN


class CallOutcome(StrEnum):
    """What the end of a call shows about the dependency."""

    SUCCESS = "success"  # it responded, whatever the response
    FAILURE = "failure"  # it did not respond, or reported a fault of its own
    NEITHER = "neither"  # it was not reached, or the call was aborted: nothing is known


#: The turn of a call whose outcome must not change a circuit's state.
NO_TURN = -1


@dataclass(frozen=True, slots=True)
class CircuitReply:
    """A circuit's reply to a request for admission or a reported outcome: its state, and how long to wait.

    `turn`: a fencing token; an outcome changes the state only while the turn is the one its call was admitted in.
    `is_admitted`: a call may be made now. `is_shared`: the circuit of all processes replied, not this process's.
    `silent_ms`: time since the dependency last responded to any process; None if it never did.
    """

    state: CircuitState
    turn: int
    wait_ms: int
    is_admitted: bool = False
    is_shared: bool = False
    silent_ms: int | None = None


@dataclass(slots=True)
class Circuit:
    """One circuit; times are milliseconds since the epoch, 0 for never.

    `wake_at_ms`: if open, the time of the next probe; if half-open, when the running probe expires. `window`: successes
    and failures by step.
    """

    state: CircuitState = CircuitState.CLOSED
    turn: int = 0
    failures_in_row: int = 0
    successes_in_row: int = 0
    reopenings: int = 0
    wake_at_ms: int = 0
    window: dict[int, tuple[int, int]] = field(default_factory=dict)
    success_count: int = 0
    failure_count: int = 0
    neither_count: int = 0
    rejection_count: int = 0
    change_count: int = 0
    opened_at_ms: int = 0
    changed_at_ms: int = 0
    last_success_at_ms: int = 0
    last_failure_at_ms: int = 0
    last_error: str = ""
    reset_by: str = ""

    def admit(self, thresholds: Thresholds, now_ms: int, *, rejections: int, weight: int) -> CircuitReply:
        """Admit or refuse a call. Adds `rejections` made before, and `weight` if this one is refused."""
        self.rejection_count += rejections
        if self.state is CircuitState.CLOSED:
            return CircuitReply(self.state, self.turn, 0, is_admitted=True)
        if now_ms < self.wake_at_ms:
            self.rejection_count += weight
            return CircuitReply(self.state, self.turn, self.wake_at_ms - now_ms)
        if self.state is CircuitState.OPEN:
            self._change(CircuitState.HALF_OPEN, now_ms)
        self.turn += 1
        self.wake_at_ms = now_ms + round(thresholds.probe_seconds * 1000)
        return CircuitReply(self.state, self.turn, 0, is_admitted=True)

    def record_outcome(
        self,
        thresholds: Thresholds,
        now_ms: int,
        *,
        turn: int,
        outcome: CallOutcome,
        jitter: float,
        error: str,
        rejections: int,
    ) -> CircuitReply:
        """Record the outcome of a call that was admitted in `turn`."""
        self.rejection_count += rejections
        self._count(now_ms, outcome, error)
        if turn == self.turn and self.state is CircuitState.CLOSED and outcome is not CallOutcome.NEITHER:
            self._weigh(thresholds, now_ms, outcome, jitter)
        elif turn == self.turn and self.state is CircuitState.HALF_OPEN:
            self._judge_probe(thresholds, now_ms, outcome, jitter)
        wait_ms = 0 if self.state is CircuitState.CLOSED else max(0, self.wake_at_ms - now_ms)
        silent_ms = now_ms - self.last_success_at_ms if self.last_success_at_ms else None
        return CircuitReply(
            self.state, self.turn, wait_ms, is_admitted=self.state is CircuitState.CLOSED, silent_ms=silent_ms
        )

    def close(self, now_ms: int) -> None:
        """Close it and reset what led to its opening; statistics stay."""
        if self.state is not CircuitState.CLOSED:
            self._change(CircuitState.CLOSED, now_ms)
        self.turn += 1
        self.failures_in_row = self.reopenings = self.wake_at_ms = 0
        self.window.clear()

    def _count(self, now_ms: int, outcome: CallOutcome, error: str) -> None:
        if outcome is CallOutcome.SUCCESS:
            self.success_count += 1
            self.last_success_at_ms = now_ms
        elif outcome is CallOutcome.FAILURE:
            self.failure_count += 1
            self.last_failure_at_ms, self.last_error = now_ms, error
        else:
            self.neither_count += 1

    def _weigh(self, thresholds: Thresholds, now_ms: int, outcome: CallOutcome, jitter: float) -> None:
        failed = outcome is CallOutcome.FAILURE
        self.failures_in_row = self.failures_in_row + 1 if failed else 0
        step = now_ms // thresholds.step_ms
        self.window = {each: counts for each, counts in self.window.items() if each > step - WINDOW_STEPS}
        good, bad = self.window.get(step, (0, 0))
        self.window[step] = (good + (not failed), bad + failed)
        good, bad = map(sum, zip(*self.window.values(), strict=True))
        too_often = good + bad >= thresholds.least_calls and bad * 100 >= thresholds.failure_percent * (good + bad)
        if self.failures_in_row >= thresholds.failures or too_often:
            self.opened_at_ms = now_ms
            self._open(thresholds, now_ms, jitter)

    def _judge_probe(self, thresholds: Thresholds, now_ms: int, outcome: CallOutcome, jitter: float) -> None:
        if outcome is CallOutcome.FAILURE:
            self.reopenings += 1
            self._open(thresholds, now_ms, jitter)
            return
        self.wake_at_ms = now_ms  # the next probe may start
        self.successes_in_row += outcome is CallOutcome.SUCCESS
        if self.successes_in_row >= thresholds.successes:
            self.close(now_ms)

    def _open(self, thresholds: Thresholds, now_ms: int, jitter: float) -> None:
        self._change(CircuitState.OPEN, now_ms)
        self.turn += 1
        self.wake_at_ms = now_ms + thresholds.open_ms(self.reopenings, jitter)

    def _change(self, state: CircuitState, now_ms: int) -> None:
        self.state, self.changed_at_ms = state, now_ms
        self.change_count += 1
        self.successes_in_row = 0
