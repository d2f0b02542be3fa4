"""Stores of circuits: Redis for all processes, this process's memory, and failover from the first to the second."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from time import monotonic
from typing import Any, TypeVar, cast

import redis
import structlog

from tds_core.breakers.circuit import NO_TURN, CallOutcome, Circuit, CircuitReply, CircuitState, Thresholds
from tds_core.breakers.redis_script import SCRIPT
from tds_core.redis_client import REDIS_UNAVAILABLE

NAMES_KEY = "tds:breakers"
ERROR_LENGTH = 200


def _now_ms() -> int:
    return int(time.time() * 1000)


class LocalStore:
    """The circuits of this process; thread-safe."""

    def __init__(self, now_ms: Callable[[], int] = _now_ms) -> None:
        self._now_ms = now_ms
        self._circuits: dict[str, Circuit] = {}
        self._lock = threading.Lock()

    def admit(self, name: str, thresholds: Thresholds, *, rejections: int, weight: int) -> CircuitReply:
        """See `Circuit.admit`."""
        with self._lock:
            circuit = self._circuits.setdefault(name, Circuit())
            return circuit.admit(thresholds, self._now_ms(), rejections=rejections, weight=weight)

    def record_outcome(
        self,
        name: str,
        thresholds: Thresholds,
        *,
        admitted: CircuitReply,
        outcome: CallOutcome,
        jitter: float,
        error: str,
        rejections: int,
    ) -> CircuitReply:
        """See `Circuit.record_outcome`. A call that Redis admitted counts too, but is not this circuit's probe."""
        with self._lock:
            circuit = self._circuits.setdefault(name, Circuit())
            local_turn = circuit.turn if circuit.state is CircuitState.CLOSED else NO_TURN
            turn = local_turn if admitted.is_shared else admitted.turn
            return circuit.record_outcome(
                thresholds, self._now_ms(), turn=turn, outcome=outcome, jitter=jitter, error=error[:ERROR_LENGTH],
                rejections=rejections,
            )  # fmt: skip

    def reset(self, name: str, by: str) -> bool:
        """Close a circuit; False if none has this name."""
        with self._lock:
            if circuit := self._circuits.get(name):
                circuit.close(self._now_ms())
                circuit.reset_by = by
            return circuit is not None

    def begin(self, name: str, last: CircuitReply, *, since_seconds: float) -> None:
        """Create a circuit from the last reply of Redis, `since_seconds` ago, unless it exists."""
        with self._lock:
            if name not in self._circuits and last.state is not CircuitState.CLOSED:
                wake_at_ms = self._now_ms() + last.wait_ms - round(since_seconds * 1000)
                self._circuits[name] = Circuit(CircuitState.OPEN, wake_at_ms=wake_at_ms)

    def clear(self) -> None:
        """Drop all circuits."""
        with self._lock:
            self._circuits.clear()

    def circuits(self) -> Mapping[str, Circuit]:
        """All circuits by name."""
        with self._lock:
            return dict(self._circuits)


class RedisStore:
    """The circuits of all processes. Every method is one round trip and may raise REDIS_UNAVAILABLE."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._script = client.register_script(SCRIPT)

    def admit(self, name: str, thresholds: Thresholds, *, rejections: int, weight: int) -> CircuitReply:
        """See `Circuit.admit`."""
        return self._run("admit", name, rejections, weight, *_argv(thresholds))

    def record_outcome(
        self,
        name: str,
        thresholds: Thresholds,
        *,
        admitted: CircuitReply,
        outcome: CallOutcome,
        jitter: float,
        error: str,
        rejections: int,
    ) -> CircuitReply:
        """See `Circuit.record_outcome`. A call that Redis did not admit is counted and changes no state."""
        turn = admitted.turn if admitted.is_shared else NO_TURN
        call = (turn, jitter, error[:ERROR_LENGTH])
        return self._run("record_outcome", name, rejections, outcome.value, *_argv(thresholds), *call)

    def reset(self, name: str, by: str) -> bool:
        """Close a circuit; False if none has this name."""
        return bool(self._script(keys=_keys(name), args=["reset", name, by]))

    def hasten(self, name: str) -> bool:
        """Make an open circuit's probe due now. False if it is not open, or its probe is due already."""
        return bool(self._script(keys=_keys(name), args=["hasten", name]))

    def circuits(self) -> Mapping[str, Circuit]:
        """All circuits by name, except expired ones."""
        members = cast(set[Any], self._client.smembers(NAMES_KEY))
        names = sorted(map(_text, members))
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.hgetall(_keys(name)[0])
        hashes = cast(list[Mapping[Any, Any]], pipeline.execute())
        return {name: _circuit(fields) for name, fields in zip(names, hashes, strict=True) if fields}

    def _run(self, *argv: str | float) -> CircuitReply:
        state, turn, wait_ms, admitted, silent_ms = self._script(keys=_keys(str(argv[1])), args=list(argv))
        silent = None if silent_ms < 0 else int(silent_ms)
        return CircuitReply(
            CircuitState(_text(state)), int(turn), int(wait_ms), bool(admitted), is_shared=True, silent_ms=silent
        )


def _keys(name: str) -> list[str]:
    return [f"tds:breaker:{name}", NAMES_KEY]


def _argv(thresholds: Thresholds) -> tuple[float, ...]:
    """The thresholds in the order the script reads them."""
    return (
        thresholds.failures, thresholds.failure_percent, thresholds.least_calls, thresholds.step_ms,
        thresholds.open_seconds, thresholds.open_most_seconds, thresholds.successes,
        round(thresholds.probe_seconds * 1000),
    )  # fmt: skip


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


_NUMBERS = {field.name for field in fields(Circuit) if field.type is int}


def _circuit(fields_of_hash: Mapping[Any, Any]) -> Circuit:
    """The circuit of a Redis hash, without its window, which only the script reads."""
    values = {_text(name): _text(value) for name, value in fields_of_hash.items()}
    numbers: dict[str, Any] = {name: int(values.get(name, 0)) for name in _NUMBERS}
    texts: dict[str, Any] = {name: values.get(name, "") for name in ("last_error", "reset_by")}
    return Circuit(state=CircuitState(values.get("state", CircuitState.CLOSED)), **numbers, **texts)


log = structlog.get_logger(__name__)

Result = TypeVar("Result")


class FailoverStore:
    """Uses Redis; if that fails, the circuits of this process for `away_seconds` before Redis is tried again."""

    def __init__(self, client: redis.Redis | None, *, away_seconds: float) -> None:
        self._shared = RedisStore(client) if client is not None else None
        self._local = LocalStore()
        self._away_seconds = away_seconds
        self._away_until = 0.0
        self._is_alone = False
        self._last: dict[str, tuple[CircuitReply, float]] = {}

    @property
    def has_redis(self) -> bool:
        """Whether circuits are meant to be those of all processes."""
        return self._shared is not None

    def admit(self, name: str, thresholds: Thresholds, *, rejections: int, weight: int) -> CircuitReply:
        """See `Circuit.admit`. Never raises."""
        return self._either(
            name,
            lambda shared: shared.admit(name, thresholds, rejections=rejections, weight=weight),
            lambda: self._local.admit(name, thresholds, rejections=rejections, weight=weight),
        )

    def record_outcome(
        self,
        name: str,
        thresholds: Thresholds,
        *,
        admitted: CircuitReply,
        outcome: CallOutcome,
        jitter: float,
        error: str,
        rejections: int,
    ) -> CircuitReply:
        """See `Circuit.record_outcome`. Never raises."""
        return self._either(
            name,
            lambda shared: shared.record_outcome(
                name, thresholds, admitted=admitted, outcome=outcome, jitter=jitter, error=error, rejections=rejections
            ),
            lambda: self._local.record_outcome(
                name, thresholds, admitted=admitted, outcome=outcome, jitter=jitter, error=error, rejections=rejections
            ),
        )

    def reset(self, name: str, by: str) -> bool:
        """Close a circuit; False if none has this name. Raises REDIS_UNAVAILABLE: all processes or none."""
        return self._shared.reset(name, by) if self._shared else self._local.reset(name, by)

    def hasten(self, name: str) -> bool:
        """Make an open circuit's probe due now. False if it is not open, its probe is due, or Redis is away."""
        return bool(self._try(lambda shared: shared.hasten(name)))

    def circuits(self) -> tuple[Mapping[str, Circuit], bool]:
        """All circuits by name, and whether they are those of all processes."""
        shared = self._try(lambda store: store.circuits())
        return (shared, True) if shared is not None else (self._local.circuits(), False)

    def _either(
        self, name: str, ask_redis: Callable[[RedisStore], CircuitReply], ask_local: Callable[[], CircuitReply]
    ) -> CircuitReply:
        reply = self._try(ask_redis)
        if reply is not None:
            self._last[name] = reply, monotonic()
            return reply
        if entry := self._last.pop(name, None):
            last, replied_at = entry
            self._local.begin(name, last, since_seconds=monotonic() - replied_at)
        return ask_local()

    def _try(self, ask: Callable[[RedisStore], Result]) -> Result | None:
        """The result of `ask` on Redis; None while Redis is away."""
        if self._shared is None or monotonic() < self._away_until:
            return None
        try:
            result = ask(self._shared)
        except REDIS_UNAVAILABLE as error:
            self._away_until = monotonic() + self._away_seconds
            if not self._is_alone:
                log.warning("breakers_alone", error=type(error).__name__)
            self._is_alone = True
            return None
        if self._is_alone:
            log.info("breakers_shared_again")
            self._is_alone = False
            self._local.clear()
        return result
