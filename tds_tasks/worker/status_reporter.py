"""The status reporter of a worker: it reports every few seconds, and ends the worker when it was found deaf.

It runs in a thread of the worker's main process, because the main loop may be what fails, and needs only PostgreSQL.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
import structlog
from celery import signals
from celery.worker import state
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tds_core.config.settings import load_settings
from tds_core.database_errors import is_away
from tds_core.healing import worker_status
from tds_core.healing.worker_status import WorkerReport
from tds_core.observability.outages import watch_database
from tds_models.db import make_engine, session_scope
from tds_tasks.worker.lease_holder_liveness import born, worker_name
from tds_tasks.worker_nudges import private_queue

log = structlog.get_logger(__name__)

REPORT_SECONDS = 2.0
# How long running tasks may take to end once their worker is deaf; their leases are rescued in any case.
GRACE_SECONDS = 3.0
#: EX_TEMPFAIL: a supervisor that restarts failed processes restarts the worker.
DEAF_EXIT_CODE = 75


def private_queue_name() -> str:
    """The name of the queue that only this worker consumes."""
    return f"tds.ear.{worker_name()}"


class StatusReporter:
    """Reports the status of one worker until `stop`; calls `end` with the reason once the worker was found deaf."""

    def __init__(self, consumer: Any, engine: Engine, *, version: str, end: Callable[[str], None]) -> None:
        self._consumer, self._engine, self._version, self._end = consumer, engine, version, end
        self._queues = sorted(consumer.app.amqp.queues.consume_from)
        self._born = born(os.getpid())
        self._accepted, self._heard = -1, time.monotonic()
        self._ending = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._report_for_ever, name="teller", daemon=True)

    def start(self) -> None:
        """Start to report."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and record that the worker stopped in order."""
        self._ending.set()
        with suppress(SQLAlchemyError), session_scope(self._engine) as session:
            worker_status.end_worker(session, [worker_name()], reason="stopped")

    def report(self) -> WorkerReport:
        """The present status of the worker."""
        now = time.monotonic()
        if state.all_total_count[0] != self._accepted:
            self._accepted, self._heard = state.all_total_count[0], now
        return WorkerReport(
            process=worker_name(),
            name=self._consumer.hostname,
            born=self._born,
            private_queue=private_queue_name(),
            version=self._version,
            slot_count=self._consumer.controller.concurrency,
            busy_count=len(busy()),
            queues=self._queues,
            lost_queues=self._lost(),
            heard_seconds=now - self._heard,
            loop_seconds=now - self._consumer.looped,
        )

    def _lost(self) -> list[str]:
        """The queues the worker began with and does not consume any more; none while it reconnects."""
        consumer = self._consumer.task_consumer
        return sorted(set(self._queues) - {queue.name for queue in consumer.queues}) if consumer else []

    def _report_for_ever(self) -> None:
        while not self._ending.is_set():
            try:
                with _fork_guard.reporting, session_scope(self._engine) as session:
                    reason = worker_status.report_worker(session, self.report())
            except SQLAlchemyError as error:
                if not self._failing and not is_away(error):
                    log.warning("listener_untold", error=type(error).__name__)
                self._failing, reason = True, None
            else:
                self._failing = False
            if reason and not self._ending.is_set():
                self._end(reason)
                return
            self._ending.wait(REPORT_SECONDS)


def busy() -> list[Any]:
    """The running tasks, without those of stopped processes."""
    return [each for each in tuple(state.active_requests) if not _is_stopped(each.worker_pid)]


def _is_stopped(pid: int | None) -> bool:
    if pid is None:
        return False
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False


class _ForkGuard:
    """Makes forks wait for a report under way; a child forked while a thread holds a lock would wait for ever."""

    LONGEST_WAIT_SECONDS = 2.0

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Reset the lock; a new process has no reporting thread."""
        self.reporting, self._is_held = threading.Lock(), False

    def before_fork(self) -> None:
        """Wait for the report under way, at most LONGEST_WAIT_SECONDS."""
        self._is_held = self.reporting.acquire(timeout=self.LONGEST_WAIT_SECONDS)

    def after_fork(self) -> None:
        """Permit the next report."""
        if self._is_held:
            self._is_held = False
            self.reporting.release()


_fork_guard = _ForkGuard()
os.register_at_fork(
    before=_fork_guard.before_fork,
    after_in_parent=_fork_guard.after_fork,
    after_in_child=_fork_guard.begin_anew,
)


def stop_worker(reason: str) -> None:
    """End this worker: after GRACE_SECONDS for its tasks, kill its processes. Its supervisor starts another one."""
    log.error("worker_deaf_ending", reason=reason, exit_code=DEAF_EXIT_CODE)
    state.should_stop = DEAF_EXIT_CODE
    until = time.monotonic() + GRACE_SECONDS
    ended = threading.Event()
    while busy() and time.monotonic() < until:
        ended.wait(0.1)
    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
    os._exit(DEAF_EXIT_CODE)


@signals.celeryd_after_setup.connect
def start_private_queue(instance: Any, **_: Any) -> None:
    """Make the worker consume its private queue as well, on the same connection as the shared ones."""
    instance.app.amqp.queues.select_add(private_queue(private_queue_name()))


_reporters: list[StatusReporter] = []


@signals.worker_ready.connect
def start_reporting(sender: Any, **_: Any) -> None:
    """Start to report once the worker consumes."""
    settings = load_settings()
    engine = make_engine(settings.database_url, pool_size=1, application="tds-listener", timeouts=settings.timeouts)
    watch_database(engine)

    def end(reason: str) -> None:
        with suppress(SQLAlchemyError), session_scope(engine) as session:
            worker_status.end_worker(session, [worker_name()], reason="deaf")
        stop_worker(reason)

    _reporters.append(StatusReporter(sender, engine, version=settings.version, end=end))
    _reporters[-1].start()


@signals.worker_shutdown.connect
def stop_reporting(**_: Any) -> None:
    """Record that the worker stopped in order."""
    for reporter in _reporters:
        reporter.stop()
