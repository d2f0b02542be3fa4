"""The breakers of a process by name, each created at first use; made from the settings by `open_breakers`.

The database has one as well, which refuses nothing and only reports whether the database can be reached.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from functools import partial
from time import monotonic
from typing import Any

import pybreaker
import redis
import structlog
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from tds_core.breakers.breaker import Breaker, BreakerStatus, breaker_status, moment
from tds_core.breakers.circuit import CallOutcome, CircuitState, Thresholds
from tds_core.breakers.stores import FailoverStore
from tds_core.config.settings import Settings
from tds_core.database_errors import is_away
from tds_core.errors import NotFoundError, TdsError
from tds_core.redis_client import REDIS_UNAVAILABLE, redis_client

log = structlog.get_logger(__name__)

_AWAY_MESSAGE = "Redis does not answer, so every process has breakers of its own; see: tds doctor"


class BreakersAwayError(TdsError):
    """Redis is away: every process uses its own breakers, so there is no state common to all."""

    code = "breakers_away"
    retriable = True


class ChangeLogger(pybreaker.CircuitBreakerListener):
    """Logs each change of a circuit's state that this process notices."""

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        """See pybreaker."""
        write = log.warning if new_state.name == CircuitState.OPEN else log.info
        write("breaker_changed", breaker=cb.name, state=new_state.name, before=old_state.name if old_state else None)


class Breakers:
    """Breakers by name: `with breakers.guard("zoho.books.contacts"):`. Shared through `client`; local without one."""

    def __init__(
        self,
        client: redis.Redis | None = None,
        thresholds: Thresholds | None = None,
        *,
        special: Mapping[str, Thresholds] | None = None,
        away_seconds: float = 5.0,
        settings: Settings | None = None,
    ) -> None:
        """`special`: thresholds of single breakers. `away_seconds`: how long a failed Redis is not asked again.

        `settings`: where thresholds and the switch are read, each time anew, in place of `thresholds`.
        """
        self._store = FailoverStore(client, away_seconds=away_seconds)
        self._thresholds = thresholds or Thresholds()
        self._special = special or {}
        self._settings = settings
        self._breakers: dict[str, Breaker] = {}
        self._listeners = [ChangeLogger()]

    def breaker(self, name: str) -> Breaker:
        """The breaker called `name`."""
        breaker = self._breakers.get(name)
        if breaker is None:
            created = Breaker(
                name, self._store, partial(self.thresholds_of, name), self._listeners, refuses=self.refuses
            )
            breaker = self._breakers.setdefault(name, created)
        return breaker

    def refuses(self) -> bool:
        """Whether open breakers refuse calls: not while CIRCUIT_BREAKER_ENABLED is no."""
        return self._settings is None or self._settings.circuit_breaker_enabled

    def thresholds_of(self, name: str) -> Thresholds:
        """The thresholds of a breaker that are in force."""
        if name in self._special:
            return self._special[name]
        if self._settings is None:
            return self._thresholds
        return configured_thresholds(self._settings, name)

    def guard(self, name: str) -> AbstractContextManager[None]:
        """Run a block under a breaker. Raises `BreakerOpenError`, and what the block raises; see `Breaker`."""
        return self.breaker(name).calling()

    def observe(self, name: str, error: BaseException | None = None) -> None:
        """Record the outcome of a call made without asking the breaker, which then only reports."""
        breaker = self.breaker(name)
        admitted = breaker.admit(weight=0)
        if admitted.is_admitted:
            breaker.record_outcome(admitted, CallOutcome.FAILURE if error else CallOutcome.SUCCESS, error)

    def states(self, *, of_all: bool = False) -> list[BreakerStatus]:
        """The status of every breaker ever used, by name.

        While Redis is away: of those of this process, or with `of_all` raises `BreakersAwayError`.
        """
        circuits, is_shared = self._store.circuits()
        if of_all and not is_shared:
            raise BreakersAwayError(_AWAY_MESSAGE)
        return [
            breaker_status(
                name, circuit, is_shared=is_shared, unreported_rejections=self.breaker(name).unreported_rejections
            )
            for name, circuit in sorted(circuits.items())
        ]

    def reset(self, name: str, *, by: str) -> BreakerStatus:
        """Close a breaker for all processes; it takes effect within a second.

        Raises `NotFoundError`, and `BreakersAwayError` when Redis is away.
        """
        try:
            is_known = self._store.reset(name, by)
        except REDIS_UNAVAILABLE as error:
            raise BreakersAwayError(_AWAY_MESSAGE) from error
        if not is_known:
            raise NotFoundError(f"No breaker is called {name[:80]!r}; see: tds breakers")
        log.warning("breaker_reset", breaker=name, by=by)
        self.breaker(name).invalidate()
        status = next((each for each in self.states() if each.name == name), None)
        if status is None:  # Redis went away since
            raise BreakersAwayError(_AWAY_MESSAGE)
        return status

    def reset_all(self, *, by: str) -> list[BreakerStatus]:
        """Close every breaker for all processes. Returns their status, by name; raises `BreakersAwayError`."""
        return [self.reset(each.name, by=by) for each in self.states(of_all=self._store.has_redis)]

    def hasten(self, name: str) -> None:
        """Make an open breaker's probe due now, because its dependency seems to respond again."""
        if self._store.hasten(name):
            log.info("breaker_hastened", breaker=name)

    def last_success_at(self, name: str) -> datetime | None:
        """When the dependency last responded; None if it never did."""
        circuit = self._store.circuits()[0].get(name)
        return moment(circuit.last_success_at_ms) if circuit else None


# Short, since every call to a source passes here.
REDIS_SECONDS = 0.25

#: The breaker of the database, which only reports: see docs/adr/0008.
DATABASE = "database"
# It refuses nothing, so it may probe often.
DATABASE_THRESHOLDS = Thresholds(open_seconds=1.0, open_most_seconds=5.0, successes=1, probe_seconds=5.0)

#: The breaker of the token endpoint. While it is open nothing is read, so it is probed within seconds.
TOKENS = "zoho.token"
TOKENS_OPEN_SECONDS, TOKENS_OPEN_MOST_SECONDS = 10.0, 30.0


def configured_thresholds(settings: Settings, name: str) -> Thresholds:
    """The thresholds that settings give a breaker."""
    thresholds = Thresholds(
        failures=settings.breaker_failures,
        failure_percent=settings.breaker_failure_percent,
        least_calls=settings.breaker_least_calls,
        window_seconds=settings.breaker_window_seconds,
        open_seconds=settings.breaker_open_seconds,
        open_most_seconds=settings.breaker_open_most_seconds,
        successes=settings.breaker_successes,
        # At least as long as a call may take, or a second probe would start beside the first.
        probe_seconds=max(
            settings.breaker_probe_seconds, settings.http_timeout_seconds + settings.http_connect_seconds
        ),
    )
    if name != TOKENS:
        return thresholds
    return replace(
        thresholds,
        open_seconds=min(thresholds.open_seconds, TOKENS_OPEN_SECONDS),
        open_most_seconds=min(thresholds.open_most_seconds, TOKENS_OPEN_MOST_SECONDS),
    )


def open_breakers(settings: Settings) -> Breakers:
    """The breakers shared through TDS_REDIS_URL; local if it is unset. Connects at first use."""
    client = None
    if settings.redis_url:
        client = redis_client(settings.redis_url, timeout_seconds=REDIS_SECONDS, reconnects_once=True)
    return Breakers(client, special={DATABASE: DATABASE_THRESHOLDS}, settings=settings)


# A reached database is reported this often, not after every transaction.
SUCCESS_REPORT_SECONDS = 1.0


def report_database(engine: Engine, breakers: Breakers) -> None:
    """Report to the database's breaker each time `engine` cannot reach it, and at most once a second that it can."""
    reported_at = -SUCCESS_REPORT_SECONDS

    @event.listens_for(engine, "handle_error")
    def failed(context: ExceptionContext) -> None:
        if context.sqlalchemy_exception and is_away(context.sqlalchemy_exception):
            breakers.observe(DATABASE, context.original_exception)

    @event.listens_for(engine, "checkin")
    def reached(connection: Any, _record: Any) -> None:
        nonlocal reported_at
        # `connection` is None when the one returned to the pool is broken.
        if connection is not None and monotonic() - reported_at >= SUCCESS_REPORT_SECONDS:
            reported_at = monotonic()
            breakers.observe(DATABASE)
