"""The bell: tells the workers of an entity to look, at most once a short while, and never in a request's way."""

import os
import threading
import time
from collections.abc import Callable, Iterable

import structlog

log = structlog.get_logger(__name__)

# A wait nobody feels, that lets one message stand for a dozen events.
PAUSE_SECONDS = 0.15
OUTAGE_PAUSE_SECONDS = 1.0


class Nudger:
    """Rings `nudge(entity)` from a thread of its own. What cannot be rung stays to be rung; nothing is ever lost by
    silence, since sweeps look too.
    """

    def __init__(self, nudge: Callable[[str], None]) -> None:
        self._nudge = nudge
        self._begin_anew()
        os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        self._asked: set[str] = set()
        self._change = threading.Condition()
        self._ringer: threading.Thread | None = None

    def ask(self, entities: Iterable[str]) -> None:
        """Have the workers of `entities` told soon. Returns at once and never raises."""
        with self._change:
            self._asked.update(entities)
            if self._ringer is None:
                self._ringer = threading.Thread(target=self._ring_for_ever, name="bell", daemon=True)
                self._ringer.start()
            self._change.notify()

    def _ring_for_ever(self) -> None:
        failing = False
        while True:
            with self._change:
                while not self._asked:
                    self._change.wait()
                asked, self._asked = self._asked, set()
            failed = {entity: error for entity in sorted(asked) if (error := self._ring(entity)) is not None}
            if failed and not failing:  # once an outage
                log.warning("nudges_failing", entities=sorted(failed), error=type(next(iter(failed.values()))).__name__)
            if failing and not failed:
                log.info("nudges_working_again")
            failing = bool(failed)
            with self._change:
                self._asked.update(failed)
            time.sleep(OUTAGE_PAUSE_SECONDS if failing else PAUSE_SECONDS)

    def _ring(self, entity: str) -> Exception | None:
        try:
            self._nudge(entity)
        except Exception as error:  # Redis away, or anything else a message can meet: rows are the truth
            return error
        return None
