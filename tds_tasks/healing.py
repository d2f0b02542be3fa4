"""Healing from the dispatcher: canaries, deaf workers, and a cycle when neither Beat nor a worker ran one.

It has a thread and a connection of its own, so that a slow Redis never holds up the rescue of leases. Any number may
run: who gives a canary, who finds a worker deaf and who begins a cycle is decided by rows.
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

from tds_core.breakers.breakers import Breakers
from tds_core.config import Settings
from tds_core.database_errors import is_away
from tds_core.healing import canaries, cycle, ears, listeners
from tds_core.healing.care import Care, Scope
from tds_core.healing.cycle import OVERDUE_SECONDS
from tds_core.healing.deeds import Cause, Deed, Outcome, record
from tds_core.healing.owed import NUDGES
from tds_core.sources import registry
from tds_models.db import session_scope
from tds_tasks import liveness, nudge

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


def care_of(settings: Settings, scope: Scope, breakers: Breakers) -> Care:
    """What healing may use in a process that can send messages."""
    return Care(
        settings=settings,
        scope=scope,
        breakers=breakers,
        announce=announce,
        dead=liveness.dead,
        source=lambda name: registry.open_source(name, settings, scope, breakers),
    )


class Tender:
    """One look at a time; state is only who was silent, since when."""

    def __init__(self, care: Care, *, overdue_seconds: float = OVERDUE_SECONDS) -> None:
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
                Deed(
                    action=NUDGES, subject=queue, outcome=Outcome.REPORTED, detail={"unheard": True, "instead": instead}
                )
                for queue in unheard
                if queue not in self._unheard
            ]
            record(session, deeds, cause=Cause.DISPATCHER)
        self._unheard = unheard

    def _find_deaf(self) -> None:
        deeds = ears.end_deaf(self._care)
        if self._care.settings.deaf_seconds:
            deeds += ears.deaf_deeds(self._end_still())
        if deeds:
            with self._care.scope() as session:
                record(session, deeds, cause=Cause.DISPATCHER)

    def _end_still(self) -> list[Mapping[str, Any]]:
        """End workers of this machine that exist and tell nothing; of others nobody can say whether they live."""
        with self._care.scope() as session:
            rows = [
                row
                for row in listeners.listening(session)
                if row["silent_seconds"] > self._care.settings.deaf_seconds and liveness.is_here(row["process"])
            ]
        return [found for row in self._suspects(rows) if (found := self._end(row))]

    def _suspects(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        now = time.monotonic()
        self._silent_since = {each["process"]: self._silent_since.get(each["process"], now) for each in rows}
        return [each for each in rows if now - self._silent_since[each["process"]] > SUSPICION_SECONDS]

    def _end(self, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        reason = f"stands still: it told nothing for {row['silent_seconds']:.0f} s"
        if not liveness.kill(row["process"], row["born"]):
            return None
        log.error("worker_standing_still_killed", worker=row["name"], process=row["process"])
        with self._care.scope() as session:
            listeners.call_deaf(session, row["process"], reason)
            listeners.end(session, [row["process"]], reason="deaf")
        return {**row, "deaf_reason": reason}

    def _give_canaries(self) -> None:
        with self._care.scope() as session:
            rows = listeners.listening(session)
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


def tend(settings: Settings, engine: Engine, breakers: Breakers, stop: threading.Event) -> threading.Thread:
    """Begin to look every few seconds until `stop`, in a thread of its own."""

    def scope() -> AbstractContextManager[Session]:
        return session_scope(engine)

    thread = threading.Thread(
        target=_tend, args=(Tender(care_of(settings, scope, breakers)), stop), name="healing", daemon=True
    )
    thread.start()
    return thread


def _tend(tender: Tender, stop: threading.Event) -> None:
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
