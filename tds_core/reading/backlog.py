"""What is owed at leisure: the details that lists made necessary, counted in calls to the source."""

import math

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sync.queue import BULK_PRIORITY
from tds_models.entities import ENTITIES

_BULK = text("select count(*) from tds_sync_queue where entity = :entity and priority >= :bulk")


def detail_calls(session: Session) -> dict[str, int]:
    """How many calls the bulk work in the queue takes, by API."""
    calls: dict[str, int] = {}
    for entity in ENTITIES.values():
        given = {"entity": entity.name, "bulk": entity.priority + BULK_PRIORITY}
        count = session.execute(_BULK, given).scalar_one()
        size = entity.stream.batch.size if entity.stream.batch else 1
        calls[entity.stream.api] = calls.get(entity.stream.api, 0) + math.ceil(count / size)
    return calls
