"""The dispatcher: twice a second it recovers silent leases, steps retry batches and nudges workers of due work.

Any number may run; an advisory lock makes one of them the leader and ends with it. Recovering leases needs neither
Redis nor Beat.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tds_core.breakers.registry import open_breakers
from tds_core.config.settings import load_settings
from tds_core.configuration.refresh import follow_configuration
from tds_core.database_errors import is_away
from tds_core.dead_letters import retry_batches
from tds_core.healing.action_log import Cause, record_action
from tds_core.healing.actions import recovered_lease_results
from tds_core.inbox import replay_batches
from tds_core.observability import heartbeats
from tds_core.observability.heartbeat_files import touch_heartbeat
from tds_core.observability.logging import configure_logging
from tds_core.observability.metrics import watch_pool
from tds_core.observability.outages import watch_database
from tds_core.processing.lease_recovery import expire, lease_holders, recover_expired_leases
from tds_core.protection_switches import Protection, is_off
from tds_core.queue.claim import Due, due_work
from tds_core.sources.zoho.webhooks.parser import parse_again
from tds_core.statistics.deployments import record_deployment
from tds_core.subscriptions import delivery_queue
from tds_core.subscriptions.fan_out import due_subscriptions
from tds_core.sync import unconfirmed_records
from tds_core.sync.runs import due_runs
from tds_core.validation import stored_reports
from tds_core.worker_slots import WorkerSlots
from tds_models.db import Lock, make_engine, session_scope
from tds_models.entities import ENTITIES
from tds_tasks import worker_nudges
from tds_tasks.alert_loop import start_alerts
from tds_tasks.breaker_wakeup import BreakerWakeup
from tds_tasks.healing_loop import start_healing
from tds_tasks.worker.lease_holder_liveness import dead
from tds_tasks.worker.metrics_server import serve_metrics

log = structlog.get_logger(__name__)


class RetryBatchRunner:
    """Looks at one moment at a time; its state only keeps it from logging or nudging twice."""

    def __init__(self) -> None:
        self._failing = False

    def look(self, scope: Callable[[], AbstractContextManager[Session]]) -> None:
        """Take the next steps of every batch of dead letters and events. Raises nothing, so lease recovery goes on."""
        try:
            with scope() as session:
                retry_batches.step(session)
            with scope() as session:
                replay_batches.step(session, parse=parse_again)
        except Exception as error:  # an outage shows itself in the next transaction, a bug must not hold that up
            if not self._failing:
                log.exception("letter_batches_failing", error=type(error).__name__)
            self._failing = True
        else:
            self._failing = False


LOOK_SECONDS = 0.5
# Work that was just announced is given this long to be claimed before it is announced again.
PATIENCE_SECONDS = 0.3
# Runs are told of in twos at least, and never so many that they take most of the workers.
RUNS_AT_ONCE = 2
OUTAGE_SECONDS = 2.0
# A task that tells of changes ends when nothing is due, so the next change has it called again sooner.
TOLD_SECONDS = 0.9


def runs_at_once(slots: int) -> int:
    """How many runs are told of at once while the living workers run `slots` tasks."""
    return max(RUNS_AT_ONCE, slots // 2)


class Dispatcher:
    """Looks at one moment at a time; its state only keeps it from logging or nudging twice."""

    def __init__(self, waker: BreakerWakeup, *, slots: Callable[[], int], claim_size: Callable[[], int]) -> None:
        """`slots`: how many tasks the living workers run at once."""
        self._waker = waker
        self._reviver = RetryBatchRunner()
        self._slots = slots
        self._claim_size = claim_size
        self._nudged_at: dict[str, float] = {}
        self._is_orphaned = False  # work was taken back, and is not announced yet
        self._failing = False

    def look(self, connection: Connection) -> None:
        """Rescue, wake and revive, then nudge."""
        slots = self._slots()
        self._waker.look(lambda: _transaction(connection))
        self._reviver.look(lambda: _transaction(connection))
        with _transaction(connection) as session:
            unconfirmed_records.enqueue_unconfirmed(session)
        with _transaction(connection) as session:
            expire(session, dead(lease_holders(session)))
            rescued = recover_expired_leases(session)
            work = due_work(session, list(ENTITIES))
            runs = due_runs(session, limit=runs_at_once(slots))
            delivery_queue.expire(session, dead(delivery_queue.holders(session)))
            outbound, couriers = due_subscriptions(session)
            validating = stored_reports.due_reports(session)
            heartbeats.beat(session, "dispatcher", due={due.entity: due.count for due in work})
            record_action(session, recovered_lease_results(rescued), cause=Cause.DISPATCHER)
        if rescued.item_count or rescued.run_count:
            log.warning("leases_rescued", **{f: getattr(rescued, f) for f in rescued.__slots__})
            # Who was told before may be who died. Where Redis does not take the word, the next look says it.
            self._nudged_at.clear()
            self._is_orphaned = True
        try:
            told_count = self._wake(work, runs, slots, patience=0.0 if self._is_orphaned else PATIENCE_SECONDS)
            # However much is to be told, most workers are left to syncing.
            if outbound and couriers < max(1, slots // 2) and self._may("outbound", TOLD_SECONDS):
                worker_nudges.nudge_outbound()
            if validating and self._may("validation", OUTAGE_SECONDS):
                worker_nudges.nudge_validation()
        except worker_nudges.FAILURES as error:
            self._note_failure(error)
        else:
            if self._failing and told_count:
                log.info("nudges_working_again")
            self._failing = self._failing and not told_count
            self._is_orphaned = False

    def _note_failure(self, error: Exception) -> None:
        if self._is_orphaned:
            self._nudged_at.clear()
        if not self._failing:
            log.warning("nudges_failing", error=type(error).__name__)
        self._failing = True

    def _wake(self, work: list[Due], runs: list[int], slots: int, *, patience: float) -> int:
        """Tell of what has been due for `patience` seconds. Returns how often."""
        told_count = 0
        for due in () if is_off(Protection.SWEEP) else work:
            if due.oldest_seconds < patience or not self._may(due.entity, OUTAGE_SECONDS):
                continue
            worker_nudges.nudge(due.entity, count=min(slots, -(-due.count // self._claim_size())))
            told_count += 1
        for run_id in runs:
            if self._may(f"run:{run_id}", OUTAGE_SECONDS):
                worker_nudges.nudge_run(run_id)
                told_count += 1
        return told_count

    def _may(self, name: str, seconds: float) -> bool:
        """Whether `name` was not announced a moment ago; a busy worker's queue must not fill with the same word."""
        now = time.monotonic()
        if now - self._nudged_at.get(name, -seconds) < seconds:
            return False
        self._nudged_at[name] = now
        return True


@contextmanager
def _transaction(connection: Connection) -> Iterator[Session]:
    with Session(connection) as session, session.begin():
        yield session


def lead(
    engine: Engine, dispatcher: Dispatcher, stop: threading.Event, on_round: Callable[[], None] = lambda: None
) -> None:
    """Hold the leader's lock and look, until stopped or the connection dies. Waits while another leads.

    `on_round` is called before each look, and each time the lock was asked for in vain.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as lock, engine.connect() as connection:
        try:
            _lead(lock, connection, dispatcher, stop, on_round)
        finally:
            lock.invalidate()  # back in the pool it would hold the leader's lock, against ourselves too


def _lead(
    lock: Connection,
    connection: Connection,
    dispatcher: Dispatcher,
    stop: threading.Event,
    on_round: Callable[[], None],
) -> None:
    asked = text("select pg_try_advisory_lock(:key)")
    while not stop.is_set() and not lock.execute(asked, {"key": Lock.DISPATCHER}).scalar():
        on_round()
        stop.wait(LOOK_SECONDS)
    while not stop.is_set():
        on_round()
        lock.execute(text("select 1"))  # the lock lives as long as this connection
        dispatcher.look(connection)
        stop.wait(LOOK_SECONDS)


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = load_settings()
    settings.require("TDS_DATABASE_URL", "TDS_REDIS_URL")
    configure_logging(settings, process="dispatcher")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    worker_nudges.publish_fast()
    engine = make_engine(
        settings.database_url, pool_size=2, application="tds-dispatcher", timeouts=settings.leader_timeouts
    )
    breakers = open_breakers(settings)
    waker = BreakerWakeup(breakers, calls_per_minute=lambda: settings.zoho_calls_per_minute, look_seconds=LOOK_SECONDS)
    own = make_engine(settings.database_url, pool_size=1, application="tds-healing", timeouts=settings.timeouts)
    watch_pool(engine, "dispatcher")
    watch_pool(own, "healing")
    serve_metrics(settings)
    reader = make_engine(
        settings.database_url, pool_size=1, application="tds-configuration", timeouts=settings.timeouts
    )
    slots = WorkerSlots(lambda: session_scope(reader)).count
    dispatcher = Dispatcher(waker, slots=slots, claim_size=lambda: settings.claim_size)
    for each in (engine, own, reader):
        watch_database(each)
    follow_configuration(lambda: session_scope(reader), stop)
    start_healing(settings, own, breakers, stop)
    start_alerts(settings, breakers, stop, is_first=True)
    show_round = partial(touch_heartbeat, settings.home, "dispatcher")
    with suppress(SQLAlchemyError), session_scope(own) as session:
        record_deployment(session, settings.version)
    log.info("dispatcher_started")
    while not stop.is_set():
        show_round()
        try:
            lead(engine, dispatcher, stop, show_round)
        except SQLAlchemyError as error:
            if not is_away(error):  # what is away is told once, by the engine
                log.warning("look_failed", error=type(error).__name__)
            stop.wait(OUTAGE_SECONDS)
    log.info("dispatcher_stopped")


if __name__ == "__main__":
    main()
