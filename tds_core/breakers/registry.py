"""All breakers of a process by name, each made when it is first used.

Puts a process's breakers together from the settings.

The database's breaker: it refuses nobody, and reports whether the database can be reached.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from time import monotonic
from typing import Any

import pybreaker
import redis
import structlog
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from tds_core.breakers.breaker import Breaker, BreakerState, moment, state_of
from tds_core.breakers.circuit import CallOutcome, Rules, State
from tds_core.breakers.stores import FailoverStore
from tds_core.config.settings import Settings
from tds_core.database import is_away
from tds_core.errors import NotFoundError, TdsError
from tds_core.redis_client import REDIS_UNAVAILABLE, redis_client

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
        self._store = FailoverStore(client, away_seconds=away_seconds)
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
            breaker.settle(admitted, CallOutcome.FAILURE if error else CallOutcome.SUCCESS, error)

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
        except REDIS_UNAVAILABLE as error:
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


# A breaker that waits for Redis would be the outage it is there to contain.
REDIS_SECONDS = 0.25

#: The breaker of the database, which only reports: see docs/adr/0008.
DATABASE = "database"
# Nobody is refused by it, so it looks again soon.
DATABASE_RULES = Rules(open_seconds=1.0, open_most_seconds=5.0, successes=1, probe_seconds=5.0)

#: The breaker of the token endpoint: while it is open nothing is read at all, so it is probed within seconds.
TOKENS = "zoho.token"
TOKENS_OPEN_SECONDS, TOKENS_OPEN_MOST_SECONDS = 10.0, 30.0


def open_breakers(settings: Settings) -> Breakers:
    """The breakers of all processes that share `TDS_REDIS_URL`; of this one alone when it is unset. Asks nobody yet."""
    rules = Rules(
        failures=settings.breaker_failures,
        failure_percent=settings.breaker_failure_percent,
        least_calls=settings.breaker_least_calls,
        window_seconds=settings.breaker_window_seconds,
        open_seconds=settings.breaker_open_seconds,
        open_most_seconds=settings.breaker_open_most_seconds,
        successes=settings.breaker_successes,
        # Or a second one would start while the first still waits for its answer.
        probe_seconds=max(
            settings.breaker_probe_seconds, settings.http_timeout_seconds + settings.http_connect_seconds
        ),
    )
    tokens = replace(
        rules,
        open_seconds=min(rules.open_seconds, TOKENS_OPEN_SECONDS),
        open_most_seconds=min(rules.open_most_seconds, TOKENS_OPEN_MOST_SECONDS),
    )
    client = None
    if settings.redis_url:
        client = redis_client(settings.redis_url, timeout_seconds=REDIS_SECONDS, reconnects_once=True)
    return Breakers(client, rules, special={DATABASE: DATABASE_RULES, TOKENS: tokens})


# That all is well is said this often, not after every transaction.
PRAISE_SECONDS = 1.0


def report_database(engine: Engine, breakers: Breakers) -> None:
    """Have `engine` tell the breaker of every failure to reach the database, and now and then that it was reached."""
    praised_at = -PRAISE_SECONDS

    @event.listens_for(engine, "handle_error")
    def failed(context: ExceptionContext) -> None:
        if context.sqlalchemy_exception and is_away(context.sqlalchemy_exception):
            breakers.observe(DATABASE, context.original_exception)

    @event.listens_for(engine, "checkin")
    def reached(connection: Any, _record: Any) -> None:
        nonlocal praised_at
        # Without a connection what comes back is one that broke.
        if connection is not None and monotonic() - praised_at >= PRAISE_SECONDS:
            praised_at = monotonic()
            breakers.observe(DATABASE)
