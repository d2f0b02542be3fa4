"""The per-entity tasks `tds.sync.<entity>`: claim a batch, bring it over, settle it, until nothing is due."""

import time
from contextlib import suppress

import structlog

from tds_core.database_errors import is_away
from tds_models.entities import ENTITIES
from tds_tasks import nudge
from tds_tasks.app import app
from tds_tasks.batch import sync_batch
from tds_tasks.settling import OUTAGES

log = structlog.get_logger(__name__)

# A nudge serves whatever is due for so long; then others get their turn, however much is left of this entity.
BUDGET_SECONDS = 1.0


def drain(entity: str, *, budget_seconds: float = BUDGET_SECONDS) -> int:
    """Sync due work of `entity` until none is left or the time is up. Returns how many items were claimed."""
    until = time.monotonic() + budget_seconds
    total = 0
    while time.monotonic() < until:
        try:
            claim = sync_batch(entity)
        except OUTAGES as error:
            if not is_away(error):
                log.warning("claim_interrupted", entity=entity, error=type(error).__name__)
            return total
        total += len(claim.items) if claim else 0
        if claim is None or (claim.was_all and not claim.bulk):  # bulk may have been given back half read
            return total
    with suppress(*nudge.FAILURES):  # the dispatcher looks too
        nudge.nudge(entity)
    return total


def _register(name: str) -> None:
    @app.task(name=f"tds.sync.{name}")
    def sync_entity() -> None:
        drain(name)


for _name in ENTITIES:
    _register(_name)
