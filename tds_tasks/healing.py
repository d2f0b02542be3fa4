"""Healing from the dispatcher: canaries, deaf workers, and a cycle when neither Beat nor a worker ran one.

It has a thread and a connection of its own, so that a slow Redis never holds up the rescue of leases. Any number may
run: who gives a canary, who finds a worker deaf and who begins a cycle is decided by rows.

The task `tds.canary`: a worker that runs it says in the database that it heard.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tds_core.breakers.registry import Breakers
from tds_core.config.settings import Settings
from tds_core.database import is_away
from tds_core.healing import canaries, cycle, workers
from tds_core.healing.action_log import ActionResult, Cause, HealingOutcome, record_action
from tds_core.healing.actions import NUDGES
from tds_core.healing.context import HealingContext, Scope
from tds_core.healing.cycle import OVERDUE_SECONDS
from tds_core.sources import registry
from tds_models.db import session_scope
from tds_tasks import nudge
from tds_tasks.app import app
from tds_tasks.context import scope, while_reachable
from tds_tasks.worker import leases
from tds_tasks.worker.leases import worker_name


@app.task(name="tds.canary")
def hear(queue: str, nonce: str) -> None:
    """Say that the canary came out of its queue."""
    with while_reachable(), scope() as session:
        canaries.hear(session, queue, nonce, by=worker_name())


log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
# Where nobody is judged, canaries still tell how soon queues are heard.
WATCH_SECONDS = 60.0
# After an outage of the database all workers are silent: who stands still is so a while longer.
SUSPICION_SECONDS = 20.0


def announce(entity: str) -> bool:
    """Tell the workers of an entity to look. Returns whether Redis took the message."""
    try:
        nudge.nudge(entity)
    except nudge.FAILURES:
        return False
    return True


def healing_context(settings: Settings, scope: Scope, breakers: Breakers) -> HealingContext:
    """What healing may use in a process that can send messages."""
    return HealingContext(
        settings=settings,
        scope=scope,
        breakers=breakers,
        announce=announce,
        dead=leases.dead,
        source=lambda name: registry.open_source(name, settings, scope, breakers),
    )


class HealingRunner:
    """One look at a time; state is only who was silent, since when."""

    def __init__(self, care: HealingContext, *, overdue_seconds: float = OVERDUE_SECONDS) -> None:
        self._care = care
        self._overdue_seconds = overdue_seconds
        self._every_seconds = (care.settings.deaf_seconds or WATCH_SECONDS) / canaries.AT_PATIENCE
        self._began = time.monotonic()
        self._silent_since: dict[str, float] = {}
        self._unheard: list[str] = []

    def look(self) -> None:
        """Find deaf workers and queues nobody consumes, give canaries, and run a cycle that is overdue."""
        self._find_deaf()
        self._detour()
        self._give_canaries()
        if time.monotonic() - self._began > self._overdue_seconds:
            self._run_overdue()

    def forget(self) -> None:
        """The database was away, so nobody could tell of himself."""
        self._silent_since.clear()

    def _detour(self) -> None:
        """Have work of queues nobody consumes done by those who consume another."""
        patience_seconds = self._care.settings.deaf_seconds or WATCH_SECONDS
        with self._care.scope() as session:
            unheard = canaries.unheard(session, patience_seconds=patience_seconds)
            instead = nudge.detour(unheard)
            deeds = [
                ActionResult(
                    action=NUDGES,
                    subject=queue,
                    outcome=HealingOutcome.REPORTED,
                    detail={"unheard": True, "instead": instead},
                )
                for queue in unheard
                if queue not in self._unheard
            ]
            record_action(session, deeds, cause=Cause.DISPATCHER)
        self._unheard = unheard

    def _find_deaf(self) -> None:
        deeds = workers.stop_unresponsive(self._care)
        if self._care.settings.deaf_seconds:
            deeds += workers.stop_unresponsive_workers(self._end_still())
        if deeds:
            with self._care.scope() as session:
                record_action(session, deeds, cause=Cause.DISPATCHER)

    def _end_still(self) -> list[Mapping[str, Any]]:
        """End workers of this machine that exist and tell nothing; of others nobody can say whether they live."""
        with self._care.scope() as session:
            rows = [
                row
                for row in workers.worker_statuses(session)
                if row["silent_seconds"] > self._care.settings.deaf_seconds and leases.is_here(row["process"])
            ]
        return [found for row in self._suspects(rows) if (found := self._end(row))]

    def _suspects(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        now = time.monotonic()
        self._silent_since = {each["process"]: self._silent_since.get(each["process"], now) for each in rows}
        return [each for each in rows if now - self._silent_since[each["process"]] > SUSPICION_SECONDS]

    def _end(self, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        reason = f"stands still: it told nothing for {row['silent_seconds']:.0f} s"
        if not leases.kill(row["process"], row["born"]):
            return None
        log.error("worker_standing_still_killed", worker=row["name"], process=row["process"])
        with self._care.scope() as session:
            workers.mark_unresponsive(session, row["process"], reason)
            workers.end_worker(session, [row["process"]], reason="deaf")
        return {**row, "deaf_reason": reason}

    def _give_canaries(self) -> None:
        with self._care.scope() as session:
            rows = workers.worker_statuses(session)
            own = [row["ear"] for row in rows if row["deaf_at"] is None]
            wanted = canaries.give(session, [*nudge.SHARED, *own] if own else [], every_seconds=self._every_seconds)
        left = list(wanted)
        try:
            for queue, nonce in wanted.items():
                nudge.put_canary(queue, str(nonce), expires_seconds=self._every_seconds)
                left.remove(queue)
        except nudge.FAILURES:
            with self._care.scope() as session:
                canaries.take_back(session, left)

    def _run_overdue(self) -> None:
        with self._care.scope() as session:
            begun = cycle.begin_overdue(session, cause=Cause.DISPATCHER, seconds=self._overdue_seconds)
        if begun is not None:
            cycle.run(self._care, begun, cause=Cause.DISPATCHER)


def heal(settings: Settings, engine: Engine, breakers: Breakers, stop: threading.Event) -> threading.Thread:
    """Begin to look every few seconds until `stop`, in a thread of its own."""

    def scope() -> AbstractContextManager[Session]:
        return session_scope(engine)

    thread = threading.Thread(
        target=_tend,
        args=(HealingRunner(healing_context(settings, scope, breakers)), stop),
        name="healing",
        daemon=True,
    )
    thread.start()
    return thread


def _tend(tender: HealingRunner, stop: threading.Event) -> None:
    failing = False
    while not stop.wait(LOOK_SECONDS):
        try:
            tender.look()
        except SQLAlchemyError as error:
            tender.forget()
            if not failing and not is_away(error):
                log.warning("healing_without_database", error=type(error).__name__)
            failing = True
        except Exception:  # a bug here must not end what heals
            log.exception("healing_look_failed")
        else:
            failing = False
