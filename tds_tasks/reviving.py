"""The dispatcher's part in reviving: the next letters of every batch, and a fault there stops nothing else."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import structlog
from sqlalchemy.orm import Session

from tds_core.letters import batches

log = structlog.get_logger(__name__)


class Reviver:
    """One look at a time; state is only what must not be said twice."""

    def __init__(self) -> None:
        self._failing = False

    def look(self, scope: Callable[[], AbstractContextManager[Session]]) -> None:
        """Revive what batches may by now. Raises nothing: whoever calls has leases to rescue."""
        try:
            with scope() as session:
                batches.step(session)
        except Exception as error:  # an outage shows itself in the next transaction, a bug must not hold that up
            if not self._failing:
                log.exception("letter_batches_failing", error=type(error).__name__)
            self._failing = True
        else:
            self._failing = False
