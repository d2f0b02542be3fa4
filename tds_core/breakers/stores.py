"""Where circuits are kept: in Redis for all processes, or in this process alone.

Circuits that outlive Redis: shared while it answers, kept by this process alone while it does not.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from time import monotonic
from typing import Any, TypeVar, cast

import redis
import structlog

from tds_core.breakers.circuit import NO_TURN, CallOutcome, Circuit, Reply, Rules, State
from tds_core.breakers.redis_script import SCRIPT
from tds_core.redis_client import REDIS_UNAVAILABLE

NAMES_KEY = "tds:breakers"
ERROR_LENGTH = 200


def _now_ms() -> int:
    return int(time.time() * 1000)


class LocalStore:
    """The circuits of this process; safe between threads."""

    def __init__(self, now_ms: Callable[[], int] = _now_ms) -> None:
        self._now_ms = now_ms
        self._circuits: dict[str, Circuit] = {}
        self._lock = threading.Lock()

    def admit(self, name: str, rules: Rules, *, rejections: int, weight: int) -> Reply:
        """See `Circuit.admit`."""
        with self._lock:
            circuit = self._circuits.setdefault(name, Circuit())
            return circuit.admit(rules, self._now_ms(), rejections=rejections, weight=weight)

    def settle(
        self,
        name: str,
        rules: Rules,
        *,
        admitted: Reply,
        outcome: CallOutcome,
        jitter: float,
        error: str,
        rejections: int,
    ) -> Reply:
        """See `Circuit.settle`. A call the shared circuit admitted counts here too, but is nobody's probe here."""
        with self._lock:
            circuit = self._circuits.setdefault(name, Circuit())
            here = circuit.turn if circuit.state is State.CLOSED else NO_TURN
            turn = here if admitted.is_shared else admitted.turn
            return circuit.settle(
                rules, self._now_ms(), turn=turn, outcome=outcome, jitter=jitter, error=error[:ERROR_LENGTH],
                rejections=rejections,
            )  # fmt: skip

    def reset(self, name: str, by: str) -> bool:
        """Close a circuit; False when there is none of this name."""
        with self._lock:
            if circuit := self._circuits.get(name):
                circuit.close(self._now_ms())
                circuit.reset_by = by
            return circuit is not None

    def begin(self, name: str, last: Reply, *, since_seconds: float) -> None:
        """Go on, here alone, from what the shared circuit said so long ago."""
        with self._lock:
            if name not in self._circuits and last.state is not State.CLOSED:
                wake_at_ms = self._now_ms() + last.wait_ms - round(since_seconds * 1000)
                self._circuits[name] = Circuit(State.OPEN, wake_at_ms=wake_at_ms)

    def forget(self) -> None:
        """Drop all circuits."""
        with self._lock:
            self._circuits.clear()

    def circuits(self) -> Mapping[str, Circuit]:
        """All circuits by name."""
        with self._lock:
            return dict(self._circuits)


class SharedStore:
    """The circuits of all processes. Every method is one round trip and raises `redis.RedisError` or `OSError`."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._script = client.register_script(SCRIPT)

    def admit(self, name: str, rules: Rules, *, rejections: int, weight: int) -> Reply:
        """See `Circuit.admit`."""
        return self._ask("admit", name, rejections, weight, *_spelled(rules))

    def settle(
        self,
        name: str,
        rules: Rules,
        *,
        admitted: Reply,
        outcome: CallOutcome,
        jitter: float,
        error: str,
        rejections: int,
    ) -> Reply:
        """See `Circuit.settle`. What was not admitted by the shared circuit is counted and moves nothing."""
        turn = admitted.turn if admitted.is_shared else NO_TURN
        told = (turn, jitter, error[:ERROR_LENGTH])
        return self._ask("settle", name, rejections, outcome.value, *_spelled(rules), *told)

    def reset(self, name: str, by: str) -> bool:
        """Close a circuit; False when there is none of this name."""
        return bool(self._script(keys=_keys(name), args=["reset", name, by]))

    def hasten(self, name: str) -> bool:
        """Let an open circuit be probed now. False when it is not open, or due."""
        return bool(self._script(keys=_keys(name), args=["hasten", name]))

    def circuits(self) -> Mapping[str, Circuit]:
        """All circuits by name; those nobody used for long are forgotten."""
        members = cast(set[Any], self._client.smembers(NAMES_KEY))
        names = sorted(map(_text, members))
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.hgetall(_keys(name)[0])
        found = cast(list[Mapping[Any, Any]], pipeline.execute())
        return {name: _circuit(fields) for name, fields in zip(names, found, strict=True) if fields}

    def _ask(self, *told: str | float) -> Reply:
        state, turn, wait_ms, admitted, silent_ms = self._script(keys=_keys(str(told[1])), args=list(told))
        silent = None if silent_ms < 0 else int(silent_ms)
        return Reply(State(_text(state)), int(turn), int(wait_ms), bool(admitted), is_shared=True, silent_ms=silent)


def _keys(name: str) -> list[str]:
    return [f"tds:breaker:{name}", NAMES_KEY]


def _spelled(rules: Rules) -> tuple[float, ...]:
    """The rules in the order the script reads them."""
    return (
        rules.failures, rules.failure_percent, rules.least_calls, rules.step_ms,
        rules.open_seconds, rules.open_most_seconds, rules.successes, round(rules.probe_seconds * 1000),
    )  # fmt: skip


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


_NUMBERS = {field.name for field in fields(Circuit) if field.type is int}


def _circuit(found: Mapping[Any, Any]) -> Circuit:
    """A circuit as its hash tells it; the window stays in Redis, nobody reads it elsewhere."""
    told = {_text(field): _text(value) for field, value in found.items()}
    numbers: dict[str, Any] = {name: int(told.get(name, 0)) for name in _NUMBERS}
    words: dict[str, Any] = {name: told.get(name, "") for name in ("last_error", "reset_by")}
    return Circuit(state=State(told.get("state", State.CLOSED)), **numbers, **words)


log = structlog.get_logger(__name__)

Result = TypeVar("Result")


class FailoverStore:
    """Asks Redis, and when that fails decides alone, leaving Redis in peace for `away_seconds`."""

    def __init__(self, client: redis.Redis | None, *, away_seconds: float) -> None:
        self._shared = SharedStore(client) if client is not None else None
        self._local = LocalStore()
        self._away_seconds = away_seconds
        self._away_until = 0.0
        self._is_alone = False
        self._last: dict[str, tuple[Reply, float]] = {}

    def admit(self, name: str, rules: Rules, *, rejections: int, weight: int) -> Reply:
        """See `Circuit.admit`. Never raises."""
        return self._either(
            name,
            lambda shared: shared.admit(name, rules, rejections=rejections, weight=weight),
            lambda: self._local.admit(name, rules, rejections=rejections, weight=weight),
        )

    def settle(
        self,
        name: str,
        rules: Rules,
        *,
        admitted: Reply,
        outcome: CallOutcome,
        jitter: float,
        error: str,
        rejections: int,
    ) -> Reply:
        """See `Circuit.settle`. Never raises."""
        return self._either(
            name,
            lambda shared: shared.settle(
                name, rules, admitted=admitted, outcome=outcome, jitter=jitter, error=error, rejections=rejections
            ),
            lambda: self._local.settle(
                name, rules, admitted=admitted, outcome=outcome, jitter=jitter, error=error, rejections=rejections
            ),
        )

    def reset(self, name: str, by: str) -> bool:
        """Close a circuit; False when there is none of this name. Raises REDIS_UNAVAILABLE: a reset is for all or none."""
        return self._shared.reset(name, by) if self._shared else self._local.reset(name, by)

    def hasten(self, name: str) -> bool:
        """Let an open circuit be probed now. False when it is not open, or due, or Redis is away."""
        return bool(self._try(lambda shared: shared.hasten(name)))

    def circuits(self) -> tuple[Mapping[str, Circuit], bool]:
        """All circuits by name, and whether they are those of all processes."""
        found = self._try(lambda shared: shared.circuits())
        return (found, True) if found is not None else (self._local.circuits(), False)

    def _either(self, name: str, ask: Callable[[SharedStore], Reply], decide: Callable[[], Reply]) -> Reply:
        reply = self._try(ask)
        if reply is not None:
            self._last[name] = reply, monotonic()
            return reply
        if seen := self._last.pop(name, None):
            last, seen_at = seen
            self._local.begin(name, last, since_seconds=monotonic() - seen_at)
        return decide()

    def _try(self, ask: Callable[[SharedStore], Result]) -> Result | None:
        """What Redis says; None while it is away."""
        if self._shared is None or monotonic() < self._away_until:
            return None
        try:
            answer = ask(self._shared)
        except REDIS_UNAVAILABLE as error:
            self._away_until = monotonic() + self._away_seconds
            if not self._is_alone:
                log.warning("breakers_alone", error=type(error).__name__)
            self._is_alone = True
            return None
        if self._is_alone:
            log.info("breakers_shared_again")
            self._is_alone = False
            self._local.forget()
        return answer
