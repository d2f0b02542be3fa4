"""All breakers of a process by name, each made when it is first used."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime

import pybreaker
import redis
import structlog

from tds_core.breakers.breaker import Breaker
from tds_core.breakers.circuit import Outcome, State
from tds_core.breakers.enduring import AWAY, EnduringStore
from tds_core.breakers.rules import Rules
from tds_core.breakers.states import BreakerState, moment, state_of
from tds_core.errors import TdsError
from tds_core.reading.errors import NotFoundError

log = structlog.get_logger(__name__)

_AWAY_SAYS = "Redis does not answer, so every process has breakers of its own; see: tds doctor"


class BreakersAwayError(TdsError):
    """Redis is away, so every process has breakers of its own and nobody can speak to all of them."""

    code = "breakers_away"
    retriable = True


class ChangesLogged(pybreaker.CircuitBreakerListener):
    """Writes a line when this process notices that a circuit changed."""

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        """See pybreaker."""
        tell = log.warning if new_state.name == State.OPEN else log.info
        tell("breaker_changed", breaker=cb.name, state=new_state.name, before=old_state.name if old_state else None)


class Breakers:
    """`with breakers.guard("zoho.books.contacts"):` shared through `client`, or of this process alone without one."""

    def __init__(
        self,
        client: redis.Redis | None = None,
        rules: Rules | None = None,
        *,
        special: Mapping[str, Rules] | None = None,
        away_seconds: float = 5.0,
    ) -> None:
        """`special`: rules of single names. `away_seconds`: so long Redis is left in peace once it did not answer."""
        self._store = EnduringStore(client, away_seconds=away_seconds)
        self._rules = rules or Rules()
        self._special = special or {}
        self._breakers: dict[str, Breaker] = {}
        self._listeners = [ChangesLogged()]

    def breaker(self, name: str) -> Breaker:
        """The breaker called `name`."""
        found = self._breakers.get(name)
        if found is None:
            made = Breaker(name, self._store, self._special.get(name, self._rules), self._listeners)
            found = self._breakers.setdefault(name, made)
        return found

    def guard(self, name: str) -> AbstractContextManager[None]:
        """Run a block under a breaker. Raises `BreakerOpenError`, and what the block raises; see `Breaker`."""
        return self.breaker(name).calling()

    def observe(self, name: str, error: BaseException | None = None) -> None:
        """Take note of how a call ended that asked no leave: the breaker only reports how its dependency does."""
        breaker = self.breaker(name)
        admitted = breaker.admit(weight=0)
        if admitted.is_admitted:
            breaker.settle(admitted, Outcome.FAILURE if error else Outcome.SUCCESS, error)

    def states(self, *, of_all: bool = False) -> list[BreakerState]:
        """Every breaker that was ever used, by name.

        While Redis is away: those of this process; with `of_all` that is a BreakersAwayError.
        """
        circuits, is_shared = self._store.circuits()
        if of_all and not is_shared:
            raise BreakersAwayError(_AWAY_SAYS)
        return [
            state_of(name, circuit, is_shared=is_shared, untold=self.breaker(name).untold_rejections)
            for name, circuit in sorted(circuits.items())
        ]

    def reset(self, name: str, *, by: str) -> BreakerState:
        """Close a breaker for all processes; they hear of it within a second.

        Raises `NotFoundError`, and `BreakersAwayError` when Redis is away.
        """
        try:
            is_known = self._store.reset(name, by)
        except AWAY as error:
            raise BreakersAwayError(_AWAY_SAYS) from error
        if not is_known:
            raise NotFoundError(f"No breaker is called {name[:80]!r}; see: tds breakers")
        log.warning("breaker_reset", breaker=name, by=by)
        self.breaker(name).forget()
        found = [state for state in self.states() if state.name == name]
        if not found:  # Redis went away since
            raise BreakersAwayError(_AWAY_SAYS)
        return found[0]

    def hasten(self, name: str) -> None:
        """Have an open breaker probed now: something says that what it guards answers again."""
        if self._store.hasten(name):
            log.info("breaker_hastened", breaker=name)

    def last_success_at(self, name: str) -> datetime | None:
        """When the dependency last answered; None when it never did."""
        circuit = self._store.circuits()[0].get(name)
        return moment(circuit.last_success_at_ms) if circuit else None
