"""A worker tells of itself every few seconds, and ends when it is told that it is deaf.

This runs in a thread of the worker's main process, beside the loop that may be what fails; it needs PostgreSQL alone.
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
from kombu import Exchange, Queue
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tds_core.config.settings import load_settings
from tds_core.database_errors import is_away
from tds_core.healing import workers
from tds_core.healing.workers import WorkerReport
from tds_core.observability.outages import watch_database
from tds_models.db import make_engine, session_scope
from tds_tasks.nudge import EAR_SECONDS
from tds_tasks.worker.liveness import born, worker_name

log = structlog.get_logger(__name__)

TELL_SECONDS = 2.0
# What tasks in hand are given to end once their worker is deaf; their leases are taken back in any case.
GRACE_SECONDS = 3.0
#: EX_TEMPFAIL: a supervisor that starts again what failed starts it again.
DEAF_EXIT_CODE = 75


def private_queue_name() -> str:
    """The queue only this worker listens to."""
    return f"tds.ear.{worker_name()}"


class StatusReporter:
    """Tells of one worker until `stop`; `end` is called with the reason once it is found deaf."""

    def __init__(self, consumer: Any, engine: Engine, *, end: Callable[[str], None]) -> None:
        self._consumer, self._engine, self._end = consumer, engine, end
        self._queues = sorted(consumer.app.amqp.queues.consume_from)
        self._born = born(os.getpid())
        self._accepted, self._heard = -1, time.monotonic()
        self._ending = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._report_for_ever, name="teller", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Say that the worker stopped, in order."""
        self._ending.set()
        with suppress(SQLAlchemyError), session_scope(self._engine) as session:
            workers.end_worker(session, [worker_name()], reason="stopped")

    def report(self) -> WorkerReport:
        """The report to write now."""
        now = time.monotonic()
        if state.all_total_count[0] != self._accepted:
            self._accepted, self._heard = state.all_total_count[0], now
        return WorkerReport(
            process=worker_name(),
            name=self._consumer.hostname,
            born=self._born,
            private_queue=private_queue_name(),
            slot_count=self._consumer.controller.concurrency,
            busy_count=len(busy()),
            queues=self._queues,
            lost_queues=self._lost(),
            heard_seconds=now - self._heard,
            loop_seconds=now - self._consumer.looped,
        )

    def _lost(self) -> list[str]:
        """Queues the worker began with and consumes no more; unknown, and so none, while it connects anew."""
        consumer = self._consumer.task_consumer
        return sorted(set(self._queues) - {queue.name for queue in consumer.queues}) if consumer else []

    def _report_for_ever(self) -> None:
        while not self._ending.is_set():
            try:
                with _quiet.telling, session_scope(self._engine) as session:
                    reason = workers.report_worker(session, self.report())
            except SQLAlchemyError as error:
                if not self._failing and not is_away(error):
                    log.warning("listener_untold", error=type(error).__name__)
                self._failing, reason = True, None
            else:
                self._failing = False
            if reason and not self._ending.is_set():
                self._end(reason)
                return
            self._ending.wait(TELL_SECONDS)


def busy() -> list[Any]:
    """The tasks in hand, without those of processes that were stopped."""
    return [each for each in tuple(state.active_requests) if not _is_stopped(each.worker_pid)]


def _is_stopped(pid: int | None) -> bool:
    if pid is None:
        return False
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False


class _Quiet:
    """A process forked while a thread holds a lock would wait for that for ever: forks wait until nothing is told."""

    LONGEST_WAIT_SECONDS = 2.0

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a new process nobody tells."""
        self.telling, self._is_held = threading.Lock(), False

    def before_fork(self) -> None:
        """Wait for the word under way, if it does not take too long."""
        self._is_held = self.telling.acquire(timeout=self.LONGEST_WAIT_SECONDS)

    def after_fork(self) -> None:
        """Let the next word come."""
        if self._is_held:
            self._is_held = False
            self.telling.release()


_quiet = _Quiet()
os.register_at_fork(before=_quiet.before_fork, after_in_parent=_quiet.after_fork, after_in_child=_quiet.begin_anew)


def stop_worker(reason: str) -> None:
    """End this worker: its tasks get a moment, then everything of it goes. Its supervisor starts another."""
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
    """Let the worker listen to a queue of its own as well, on the connection all others are read from."""
    queue = Queue(private_queue_name(), exchange=Exchange(""), routing_key=private_queue_name(), expires=EAR_SECONDS)
    instance.app.amqp.queues.select_add(queue)


_tellers: list[StatusReporter] = []


@signals.worker_ready.connect
def start_reporting(sender: Any, **_: Any) -> None:
    """Begin to tell once the worker consumes."""
    settings = load_settings()
    engine = make_engine(settings.database_url, pool_size=1, application="tds-listener", timeouts=settings.timeouts)
    watch_database(engine)

    def end(reason: str) -> None:
        with suppress(SQLAlchemyError), session_scope(engine) as session:
            workers.end_worker(session, [worker_name()], reason="deaf")
        stop_worker(reason)

    _tellers.append(StatusReporter(sender, engine, end=end))
    _tellers[-1].start()


@signals.worker_shutdown.connect
def stop_reporting(**_: Any) -> None:
    """Say that the worker stopped in order."""
    for teller in _tellers:
        teller.stop()
