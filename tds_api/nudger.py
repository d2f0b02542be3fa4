"""The nudger: makes the workers of an entity look for work, in the background: at once, and at most every 150 ms."""

import os
import threading
import time
from collections.abc import Callable, Iterable

import structlog

log = structlog.get_logger(__name__)

# An entity's first event is told of at once; one message stands for all its events of this span behind it.
PAUSE_SECONDS = 0.15
OUTAGE_PAUSE_SECONDS = 1.0


class Nudger:
    """Calls `nudge(entity)` in a background thread, and again until it succeeds.

    A nudge that never succeeds only delays work: sweeps look for it too.
    """

    def __init__(self, nudge: Callable[[str], None]) -> None:
        self._nudge = nudge
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._requested: set[str] = set()
        self._again_at: dict[str, float] = {}
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None

    def request(self, entities: Iterable[str]) -> None:
        """Nudge the workers of `entities` soon. Returns at once and never raises."""
        with self._condition:
            self._requested.update(entities)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nudger", daemon=True)
                self._thread.start()
            self._condition.notify()

    def _run(self) -> None:
        is_failing = False
        while True:
            entities = self._next()
            failed = {entity: error for entity in sorted(entities) if (error := self._nudge_one(entity)) is not None}
            if failed and not is_failing:  # once an outage
                log.warning("nudges_failing", entities=sorted(failed), error=type(next(iter(failed.values()))).__name__)
            if is_failing and not failed:
                log.info("nudges_working_again")
            is_failing = bool(failed)
            with self._condition:
                self._requested.update(failed)
            if is_failing:
                time.sleep(OUTAGE_PAUSE_SECONDS)

    def _next(self) -> set[str]:
        """The requested entities that were not nudged a moment ago; waits for the first."""
        with self._condition:
            while True:
                now = time.monotonic()
                waits = {entity: self._again_at.get(entity, now) - now for entity in self._requested}
                if ready := {entity for entity, seconds in waits.items() if seconds <= 0}:
                    self._requested -= ready
                    self._again_at.update(dict.fromkeys(ready, now + PAUSE_SECONDS))
                    return ready
                self._condition.wait(min(waits.values(), default=None))

    def _nudge_one(self, entity: str) -> Exception | None:
        try:
            self._nudge(entity)
        except Exception as error:  # Redis away, or anything else: the rows are committed, and only the message is late
            return error
        return None
