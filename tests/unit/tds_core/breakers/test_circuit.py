"""The circuit promises to decide as its rules say, and Redis to decide as the circuit does, whatever happens when."""

import fakeredis
import time_machine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from tds_core.breakers.circuit import WINDOW_STEPS, CallOutcome, Circuit, CircuitReply, CircuitState, Thresholds
from tds_core.breakers.stores import LocalStore, RedisStore
from tests.support.hypothesis_effort import effort

START = 1_800_000_000.0
NAME = "zoho.books.invoices"
RULES = Thresholds(
    failures=4, failure_percent=60, least_calls=6, window_seconds=12, open_seconds=10, open_most_seconds=45,
    successes=2, probe_seconds=8,
)  # fmt: skip
STEP_SECONDS = RULES.window_seconds / WINDOW_STEPS
OUTCOMES = st.sampled_from(list(CallOutcome))


class Plain:
    """The rules told once more, from the whole story of a closed circuit instead of from counters."""

    def __init__(self) -> None:
        self.state = CircuitState.CLOSED
        self.story: list[tuple[float, bool]] = []
        self.probes: list[bool] = []
        self.failed_probes = 0
        self.asleep_until = 0.0
        self.turn = object()

    def ask(self, now: float) -> object | None:
        """The turn a call is admitted in; None when it is refused."""
        if self.state is CircuitState.CLOSED:
            return self.turn
        if now < self.asleep_until:
            return None
        if self.state is CircuitState.OPEN:
            self.state, self.probes = CircuitState.HALF_OPEN, []
        self.asleep_until = now + RULES.probe_seconds
        self.turn = object()
        return self.turn

    def hear(self, now: float, turn: object, outcome: CallOutcome) -> None:
        if turn is not self.turn:
            return
        if self.state is CircuitState.HALF_OPEN:
            self._hear_probe(now, outcome)
        elif outcome is not CallOutcome.NEITHER:
            self.story.append((now, outcome is CallOutcome.SUCCESS))
            in_row = len(self.story) >= RULES.failures and not any(ok for _, ok in self.story[-RULES.failures :])
            oldest = (now // STEP_SECONDS - WINDOW_STEPS + 1) * STEP_SECONDS
            recent = [ok for at, ok in self.story if at >= oldest]
            failed = recent.count(False)
            if in_row or (len(recent) >= RULES.least_calls and failed / len(recent) >= RULES.failure_percent / 100):
                self._open(now)

    def _hear_probe(self, now: float, outcome: CallOutcome) -> None:
        self.asleep_until = now
        if outcome is CallOutcome.FAILURE:
            self.failed_probes += 1
            self._open(now)
        elif outcome is CallOutcome.SUCCESS:
            self.probes.append(True)
            if len(self.probes) == RULES.successes:
                self.reset()

    def _open(self, now: float) -> None:
        self.state, self.turn = CircuitState.OPEN, object()
        wait = min(RULES.open_seconds * 2**self.failed_probes, RULES.open_most_seconds)
        self.asleep_until = now + wait

    def reset(self) -> None:
        self.__init__()  # type: ignore[misc]


class Circuits(RuleBasedStateMachine):
    """Drives the plain rules, this process's circuit and Redis's together. Every call may end at any later time."""

    calls = Bundle("calls")

    @initialize()
    def begin(self) -> None:
        self.traveller = time_machine.travel(START, tick=False)
        self.clock = self.traveller.start()
        self.now = START
        self.plain, self.local = Plain(), LocalStore()
        self.redis = fakeredis.FakeRedis(server=fakeredis.FakeServer())
        self.shared = RedisStore(self.redis)
        self.refused = 0

    def teardown(self) -> None:
        self.traveller.stop()

    @rule(seconds=st.sampled_from([1, 2, 3, 7, 8, 9, 10, 11, 20, 45]))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.clock.move_to(self.now)

    @rule(target=calls)
    def ask(self) -> tuple[object, CircuitReply, CircuitReply]:
        turn = self.plain.ask(self.now)
        local = self.local.admit(NAME, RULES, rejections=0, weight=1)
        shared = self.shared.admit(NAME, RULES, rejections=0, weight=1)
        assert local.is_admitted == shared.is_admitted == (turn is not None)
        assert (local.state, local.turn, local.wait_ms) == (shared.state, shared.turn, shared.wait_ms)
        self.refused += turn is None
        return turn, local, shared

    @rule(call=calls, outcome=OUTCOMES)
    def end(self, call: tuple[object, CircuitReply, CircuitReply], outcome: CallOutcome) -> None:
        self._tell(call, outcome)

    @rule(outcome=OUTCOMES)
    def call(self, outcome: CallOutcome) -> None:
        self._tell(self.ask(), outcome)

    @rule(outcomes=st.lists(OUTCOMES, min_size=3, max_size=8))
    def burst(self, outcomes: list[CallOutcome]) -> None:
        for outcome in outcomes:
            self.call(outcome)

    @rule()
    def reset(self) -> None:
        assert self.local.reset(NAME, "operator") or not self.local.circuits()
        if self.shared.reset(NAME, "operator"):
            self.plain.reset()
        else:
            self.local.clear()  # Redis remembers a circuit once something ended in it

    def _tell(self, call: tuple[object, CircuitReply, CircuitReply], outcome: CallOutcome) -> None:
        turn, local, shared = call
        if turn is None:
            return
        self.plain.hear(self.now, turn, outcome)
        told = {"outcome": outcome, "jitter": 0.0, "error": "why", "rejections": 0}
        here = self.local.record_outcome(NAME, RULES, admitted=local, **told)
        there = self.shared.record_outcome(NAME, RULES, admitted=shared, **told)
        assert here.state is there.state is self.plain.state
        assert (here.turn, here.wait_ms, here.is_admitted) == (there.turn, there.wait_ms, there.is_admitted)
        assert here.silent_ms == there.silent_ms

    @invariant()
    def all_three_agree(self) -> None:
        here = self.local.circuits().get(NAME, Circuit())
        there = self.shared.circuits().get(NAME, Circuit())
        assert here.state is there.state is self.plain.state
        assert figures_of(here) == figures_of(there)
        assert here.rejection_count == self.refused
        if here.state is not CircuitState.CLOSED:
            assert here.wake_at_ms == round(self.plain.asleep_until * 1000)


def figures_of(circuit: Circuit) -> dict[str, object]:
    """What both tell; the window stays where it is kept, and a turn nobody took is not written."""
    return {name: getattr(circuit, name) for name in circuit.__slots__ if name not in ("window", "turn")}


TestCircuits = Circuits.TestCase
TestCircuits.settings = effort(60, steps=40)


@given(reopenings=st.integers(0, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_a_circuit_reopens_ever_later_up_to_the_longest_and_a_little_jitter(reopenings: int, jitter: float) -> None:
    thresholds = Thresholds()
    assert thresholds.open_ms(0, 0.0) == 60_000
    assert thresholds.open_ms(reopenings, 0.0) == min(60_000 * 2**reopenings, 240_000)
    assert (
        thresholds.open_ms(reopenings, 0.0)
        <= thresholds.open_ms(reopenings, jitter)
        <= thresholds.open_ms(reopenings, 0.0) * 1.1
    )
