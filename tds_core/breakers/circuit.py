"""The circuit: what one breaker knows and how it decides, without clock, network or chance.

When a circuit opens, how long it stays open, and what it takes to close it again.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import pybreaker

#: The window of the failure rate moves on in so many steps.
WINDOW_STEPS = 12
#: A reopening waits up to this share longer, so that circuits that opened together are not probed together.
JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds of one circuit.

    It opens after `failures` failures in a row, or when at least `failure_percent` of at least `least_calls` calls
    within `window_seconds` failed. It is probed after `open_seconds`, and after twice as long for each probe that
    failed, at most `open_most_seconds`; it closes after `successes` successful probes in a row. A probe that says
    nothing for `probe_seconds` gives its right back.
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
        """How many milliseconds an opening lasts that follows `reopenings` failed probes; `chance` is the jitter."""
        doubled = self.open_seconds * 2 ** min(reopenings, 30)
        return int(min(doubled, self.open_most_seconds) * 1000 * (1 + JITTER * jitter))


class State(StrEnum):
    """The states of a circuit, in pybreaker's spelling."""

    CLOSED = pybreaker.STATE_CLOSED
    OPEN = pybreaker.STATE_OPEN
    HALF_OPEN = pybreaker.STATE_HALF_OPEN


class CallOutcome(StrEnum):
    """What a call said about the dependency."""

    SUCCESS = "success"  # it answered, whatever the answer was
    FAILURE = "failure"  # it did not, or said itself that it is unwell
    NEITHER = "neither"  # it was not reached, or we broke off: nothing is known


#: The turn of a call that may not move any circuit.
NO_TURN = -1


@dataclass(frozen=True, slots=True)
class Reply:
    """What a circuit answers: its state now, and how long to wait before asking again.

    `is_admitted`: a call may be made now; after a call has ended, another one.
    `turn` fences: a call's outcome moves the circuit only while the turn is the one it was admitted in.
    `is_shared` tells whether all processes were asked, or this one alone.
    `silent_ms` is for how long the dependency had answered nobody when the call ended; None: it never answered.
    """

    state: State
    turn: int
    wait_ms: int
    is_admitted: bool = False
    is_shared: bool = False
    silent_ms: int | None = None


@dataclass(slots=True)
class Circuit:
    """One circuit; times are milliseconds since the epoch, 0 for never.

    `wake_at_ms`: when open, the time of the next probe; when half-open, until when a probe is out.
    """

    state: State = State.CLOSED
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

    def admit(self, rules: Rules, now_ms: int, *, rejections: int, weight: int) -> Reply:
        """Whether a call may be made. A refusal counts `weight` rejections, besides `rejections` made before."""
        self.rejection_count += rejections
        if self.state is State.CLOSED:
            return Reply(self.state, self.turn, 0, is_admitted=True)
        if now_ms < self.wake_at_ms:
            self.rejection_count += weight
            return Reply(self.state, self.turn, self.wake_at_ms - now_ms)
        if self.state is State.OPEN:
            self._change(State.HALF_OPEN, now_ms)
        self.turn += 1
        self.wake_at_ms = now_ms + round(rules.probe_seconds * 1000)
        return Reply(self.state, self.turn, 0, is_admitted=True)

    def settle(
        self, rules: Rules, now_ms: int, *, turn: int, outcome: CallOutcome, jitter: float, error: str, rejections: int
    ) -> Reply:
        """Take note of how a call ended that was admitted in `turn`."""
        self.rejection_count += rejections
        self._count(now_ms, outcome, error)
        if turn == self.turn and self.state is State.CLOSED and outcome is not CallOutcome.NEITHER:
            self._weigh(rules, now_ms, outcome, jitter)
        elif turn == self.turn and self.state is State.HALF_OPEN:
            self._judge_probe(rules, now_ms, outcome, jitter)
        wait_ms = 0 if self.state is State.CLOSED else max(0, self.wake_at_ms - now_ms)
        silent_ms = now_ms - self.last_success_at_ms if self.last_success_at_ms else None
        return Reply(self.state, self.turn, wait_ms, is_admitted=self.state is State.CLOSED, silent_ms=silent_ms)

    def close(self, now_ms: int) -> None:
        """Let calls through again, as if nothing had been."""
        if self.state is not State.CLOSED:
            self._change(State.CLOSED, now_ms)
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

    def _weigh(self, rules: Rules, now_ms: int, outcome: CallOutcome, jitter: float) -> None:
        failed = outcome is CallOutcome.FAILURE
        self.failures_in_row = self.failures_in_row + 1 if failed else 0
        step = now_ms // rules.step_ms
        self.window = {each: counts for each, counts in self.window.items() if each > step - WINDOW_STEPS}
        good, bad = self.window.get(step, (0, 0))
        self.window[step] = (good + (not failed), bad + failed)
        good, bad = map(sum, zip(*self.window.values(), strict=True))
        too_often = good + bad >= rules.least_calls and bad * 100 >= rules.failure_percent * (good + bad)
        if self.failures_in_row >= rules.failures or too_often:
            self.opened_at_ms = now_ms
            self._open(rules, now_ms, jitter)

    def _judge_probe(self, rules: Rules, now_ms: int, outcome: CallOutcome, jitter: float) -> None:
        if outcome is CallOutcome.FAILURE:
            self.reopenings += 1
            self._open(rules, now_ms, jitter)
            return
        self.wake_at_ms = now_ms  # the right to probe is free again
        self.successes_in_row += outcome is CallOutcome.SUCCESS
        if self.successes_in_row >= rules.successes:
            self.close(now_ms)

    def _open(self, rules: Rules, now_ms: int, jitter: float) -> None:
        self._change(State.OPEN, now_ms)
        self.turn += 1
        self.wake_at_ms = now_ms + rules.open_ms(self.reopenings, jitter)

    def _change(self, state: State, now_ms: int) -> None:
        self.state, self.changed_at_ms = state, now_ms
        self.change_count += 1
        self.successes_in_row = 0
