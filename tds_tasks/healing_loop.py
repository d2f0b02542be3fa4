"""Healing in the dispatcher: canaries, unresponsive workers, and a healing cycle when Beat or the workers ran none.

It has a thread and a connection of its own, so that a slow Redis never delays the recovery of leases. Any number may
run at once: rows decide who sends a canary, marks a worker or begins a cycle. A worker acknowledges a canary by the
task `tds.canary`.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tds_core.breakers.registry import Breakers
from tds_core.config.settings import Settings
from tds_core.database_errors import is_away
from tds_core.healing import canary_messages, cycle, worker_status
from tds_core.healing.action_log import ActionResult, Cause, HealingOutcome, record_action
from tds_core.healing.actions import NUDGES
from tds_core.healing.context import HealingContext, healing_context
from tds_core.healing.cycle import OVERDUE_SECONDS
from tds_core.healing.worker_status import WorkerStatus
from tds_core.schedule import job_store
from tds_models.db import session_scope
from tds_tasks import worker_nudges
from tds_tasks.app import app
from tds_tasks.context import scope, while_reachable
from tds_tasks.worker import lease_holder_liveness
from tds_tasks.worker.lease_holder_liveness import worker_name


# Several a minute and queue would crowd real work out of Flower's memory; `tds workers` shows them by queue.
@app.task(name="tds.canary", send_events=False)
def acknowledge_canary(queue: str, nonce: str) -> str:
    """Record that a worker received the canary of this queue."""
    with while_reachable(), scope() as session:
        canary_messages.acknowledge(session, queue, nonce, by=worker_name())
    return f"{queue} was heard"


log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
# With TDS_DEAF_SECONDS=0 canaries still measure how soon queues are consumed.
WATCH_SECONDS = 60.0
# After an outage of the database all workers are silent; one that stands still stays silent for longer than this.
SUSPICION_SECONDS = 20.0


def announce(entity: str) -> bool:
    """Nudge the workers of an entity. Returns whether Redis accepted the message."""
    try:
        worker_nudges.nudge(entity)
    except worker_nudges.FAILURES:
        return False
    return True


class HealingRunner:
    """Runs the checks one after another; its state is only which workers have been silent since when."""

    def __init__(self, context: HealingContext, *, overdue_seconds: float = OVERDUE_SECONDS) -> None:
        self._context = context
        self._overdue_seconds = overdue_seconds
        self._began = time.monotonic()
        self._silent_since: dict[str, float] = {}
        self._unanswered: list[str] = []

    def look(self) -> None:
        """Mark unresponsive workers, detour queues without a consumer, send canaries, and run an overdue cycle.

        While auto-healing is switched off, or its job is paused, only canaries are sent, so that health still says
        which queue is unheard.
        """
        if not self._context.settings.auto_healing_enabled or self._is_paused():
            self._send_canaries()
            return
        self._stop_unresponsive()
        self._detour()
        self._send_canaries()
        if time.monotonic() - self._began > self._overdue_seconds:
            self._run_overdue()

    def _is_paused(self) -> bool:
        """Whether an operator paused auto-healing in the timetable: that holds here as well."""
        with self._context.scope() as session:
            return job_store.is_paused(session, "heal")

    def forget(self) -> None:
        """Forget which workers were silent: the database was away, so none could report."""
        self._silent_since.clear()

    def _detour(self) -> None:
        """Route the work of queues without a consumer to another queue, and report each such queue once."""
        patience_seconds = self._context.settings.deaf_seconds or WATCH_SECONDS
        with self._context.scope() as session:
            unanswered = canary_messages.unanswered_queues(session, patience_seconds=patience_seconds)
            instead = worker_nudges.detour(unanswered)
            results = [
                ActionResult(
                    action=NUDGES,
                    subject=queue,
                    outcome=HealingOutcome.REPORTED,
                    detail={"unheard": True, "instead": instead},
                )
                for queue in unanswered
                if queue not in self._unanswered
            ]
            record_action(session, results, cause=Cause.DISPATCHER)
        self._unanswered = unanswered

    def _stop_unresponsive(self) -> None:
        results = worker_status.stop_unresponsive(self._context)
        if self._context.settings.deaf_seconds:
            results += worker_status.unresponsive_results(self._kill_stuck())
        if results:
            with self._context.scope() as session:
                record_action(session, results, cause=Cause.DISPATCHER)

    def _kill_stuck(self) -> list[WorkerStatus]:
        """Kill silent workers of this machine whose process exists; whether those of other machines run is unknown."""
        limit = self._context.settings.deaf_seconds
        with self._context.scope() as session:
            silent = [
                status
                for status in worker_status.worker_statuses(session)
                if status.snapshot.silent_seconds > limit and lease_holder_liveness.is_here(status.process)
            ]
        return [killed for status in self._suspects(silent) if (killed := self._kill(status))]

    def _suspects(self, silent: Sequence[WorkerStatus]) -> list[WorkerStatus]:
        now = time.monotonic()
        self._silent_since = {status.process: self._silent_since.get(status.process, now) for status in silent}
        return [status for status in silent if now - self._silent_since[status.process] > SUSPICION_SECONDS]

    def _kill(self, status: WorkerStatus) -> WorkerStatus | None:
        reason = f"stands still: it told nothing for {status.snapshot.silent_seconds:.0f} s"
        if not lease_holder_liveness.kill(status.process, status.born):
            return None
        log.error("worker_standing_still_killed", worker=status.name, process=status.process)
        with self._context.scope() as session:
            worker_status.mark_unresponsive(session, status.process, reason)
            worker_status.end_worker(session, [status.process], reason="deaf")
        return replace(status, deaf_reason=reason)

    def _send_canaries(self) -> None:
        every_seconds = (self._context.settings.deaf_seconds or WATCH_SECONDS) / canary_messages.AT_PATIENCE
        with self._context.scope() as session:
            statuses = worker_status.worker_statuses(session)
            private = [status.private_queue for status in statuses if status.deaf_reason is None]
            queues = [*worker_nudges.SHARED, *private] if private else []
            nonces = canary_messages.issue(session, queues, every_seconds=every_seconds)
        unsent = list(nonces)
        try:
            for queue, nonce in nonces.items():
                worker_nudges.put_canary(queue, str(nonce), expires_seconds=every_seconds)
                unsent.remove(queue)
        except worker_nudges.FAILURES:
            with self._context.scope() as session:
                canary_messages.withdraw(session, unsent)

    def _run_overdue(self) -> None:
        with self._context.scope() as session:
            cycle_id = cycle.begin_overdue(session, cause=Cause.DISPATCHER, seconds=self._overdue_seconds)
        if cycle_id is not None:
            cycle.run(self._context, cycle_id, cause=Cause.DISPATCHER)


def start_healing(settings: Settings, engine: Engine, breakers: Breakers, stop: threading.Event) -> threading.Thread:
    """Start a thread that runs the checks every few seconds until `stop`."""

    def scope() -> AbstractContextManager[Session]:
        return session_scope(engine)

    context = healing_context(settings, scope, breakers, announce=announce, dead=lease_holder_liveness.dead)
    thread = threading.Thread(target=_run, args=(HealingRunner(context), stop), name="healing", daemon=True)
    thread.start()
    return thread


def _run(runner: HealingRunner, stop: threading.Event) -> None:
    failing = False
    while not stop.wait(LOOK_SECONDS):
        try:
            runner.look()
        except SQLAlchemyError as error:
            runner.forget()
            if not failing and not is_away(error):
                log.warning("healing_without_database", error=type(error).__name__)
            failing = True
        except Exception:  # a bug here must not end the thread
            log.exception("healing_look_failed")
        else:
            failing = False
