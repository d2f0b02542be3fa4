"""Circuits that outlive Redis: shared while it answers, kept by this process alone while it does not."""

from collections.abc import Callable, Mapping
from time import monotonic
from typing import TypeVar

import redis
import structlog

from tds_core.breakers.circuit import Circuit, Outcome, Reply
from tds_core.breakers.rules import Rules
from tds_core.breakers.stores import LocalStore, SharedStore

log = structlog.get_logger(__name__)

# What Redis raises when it is away, full, read-only or still loading: in every case it keeps no circuit now.
AWAY = (redis.RedisError, OSError)

Result = TypeVar("Result")


class EnduringStore:
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
        self, name: str, rules: Rules, *, admitted: Reply, outcome: Outcome, chance: float, error: str, rejections: int
    ) -> Reply:
        """See `Circuit.settle`. Never raises."""
        return self._either(
            name,
            lambda shared: shared.settle(
                name, rules, admitted=admitted, outcome=outcome, chance=chance, error=error, rejections=rejections
            ),
            lambda: self._local.settle(
                name, rules, admitted=admitted, outcome=outcome, chance=chance, error=error, rejections=rejections
            ),
        )

    def reset(self, name: str, by: str) -> bool:
        """Close a circuit; False when there is none of this name. Raises one of AWAY: a reset is for all or none."""
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
        except AWAY as error:
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
