"""The alert loop: evaluates the rules and sends messages, in a thread of the dispatcher and of API processes.

An advisory lock makes one of them all the one that does it. Neither Redis, nor Celery, nor the queue it watches is
involved; without PostgreSQL the process that held the lock tells so by itself.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tds_core.alerts.database_outage import DatabaseOutage
from tds_core.alerts.dead_man import DeadManSwitch
from tds_core.alerts.evaluation import EVERY_SECONDS, Evaluator
from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.notifier import Notifier
from tds_core.alerts.rule import Rule
from tds_core.alerts.rules import RULES, rule_of
from tds_core.breakers.registry import Breakers
from tds_core.config.settings import Settings
from tds_core.database_errors import is_away
from tds_core.observability.heartbeats import silent_seconds
from tds_core.observability.metrics import watch_pool
from tds_core.observability.outages import watch_database
from tds_models.db import Lock, Timeouts, make_engine, session_scope

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
# A standby looks less often: its turn comes when the leader's connection ends.
STANDBY_SECONDS = 5.0
RETRY_SECONDS = 2.0
DISPATCHER_SECONDS = 20.0
HANGING_SECONDS = 30

_TAKE = text("select pg_try_advisory_lock(:key)")
_STILL_HERE = text("select 1")


class AlertLoop:
    """One process's part. `is_first`: it leads whenever it can, others only while the dispatcher is silent.

    The first also adopts what a process before it knew, if the database is away at its start.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        breakers: Breakers,
        *,
        is_first: bool,
        rules: Sequence[Rule] = RULES,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._breakers = breakers
        self._evaluator = Evaluator(rules)
        self._every_seconds = every_seconds
        self._notifier = Notifier(self._scope, settings)
        self._outage = DatabaseOutage(settings, rule_of("database_lost"))
        self._switch = DeadManSwitch(settings)
        self._is_first = is_first
        self._was_leader = is_first
        self._evaluated_at: float | None = None
        if is_first:
            self._outage.adopt()

    def run(self, stop: threading.Event) -> None:
        """Lead, or wait to lead, until `stop`."""
        while not stop.is_set():
            try:
                self._take_part(stop)
            except SQLAlchemyError as error:
                self._database_failed(error)
                stop.wait(RETRY_SECONDS)
            except Exception:  # a bug must not end the thread
                log.exception("alert_loop_failed")
                stop.wait(RETRY_SECONDS)
        self._notifier.close()

    def _scope(self) -> AbstractContextManager[Session]:
        return session_scope(self._engine)

    def _take_part(self, stop: threading.Event) -> None:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as lock:
            if not self._is_my_turn() or not lock.execute(_TAKE, {"key": Lock.ALERTS}).scalar():
                self._was_leader = False
                if self._outage.is_on:  # this process told of it, so it tells of its end
                    self._outage.answered(self._scope)
                stop.wait(STANDBY_SECONDS)
                return
            try:
                self._was_leader = True
                self._lead(lock, stop)
            finally:
                lock.invalidate()  # back in the pool it would hold the lock, against ourselves too

    def _is_my_turn(self) -> bool:
        """An API process has webhooks to take, so it stands in for the dispatcher only while that is silent."""
        if self._is_first:
            return True
        with self._scope() as session:
            return silent_seconds(session).get("dispatcher", DISPATCHER_SECONDS) >= DISPATCHER_SECONDS

    def _lead(self, lock: Connection, stop: threading.Event) -> None:
        due_at = 0.0
        while not stop.is_set():
            lock.execute(_STILL_HERE)  # the lock lives as long as this connection
            if time.monotonic() >= due_at:
                if not self._is_my_turn():
                    return
                due_at = time.monotonic() + self._every_seconds
                self._evaluate()
            self._notifier.send_due()
            stop.wait(LOOK_SECONDS)

    def _evaluate(self) -> None:
        facts = AlertFacts(self._scope, self._settings, self._breakers)
        self._outage.answered(self._scope)
        began = time.perf_counter()
        result = self._evaluator.evaluate(facts)
        self._evaluated_at = time.monotonic()
        log.debug(
            "alerts_evaluated", active_count=result.active_count, transition_count=result.transition_count,
            duration_seconds=round(time.perf_counter() - began, 3),
        )  # fmt: skip
        self._switch.look(facts, self._evaluated_at)

    def _database_failed(self, error: SQLAlchemyError) -> None:
        if not is_away(error):  # what is away is told once, by the engine
            log.warning("alert_evaluation_failed", error=f"{type(error).__name__}: {error}"[:300])
        elif self._was_leader:
            self._outage.failed()
            self._switch.look(None, self._evaluated_at)


def _timeouts(settings: Settings) -> Timeouts:
    """A process that hangs loses its connections, and with them the lock; one that lives uses them all the time."""
    return replace(settings.timeouts, session=HANGING_SECONDS)


def start_alerts(settings: Settings, breakers: Breakers, stop: threading.Event, *, is_first: bool) -> threading.Thread:
    """Start the loop in a thread with connections of its own, until `stop`."""
    engine = make_engine(settings.database_url, pool_size=10, application="tds-alerts", timeouts=_timeouts(settings))
    watch_pool(engine, "alerts")
    watch_database(engine)
    loop = AlertLoop(settings, engine, breakers, is_first=is_first)
    thread = threading.Thread(target=loop.run, args=(stop,), name="alerts", daemon=True)
    thread.start()
    return thread
