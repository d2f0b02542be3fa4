"""Pauses of the queue: an operator pauses an entity; its events are received as ever, and its work waits."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_models.entities import ENTITIES


class QueuePause(TypedDict):
    """A paused entity. `reason`: None where the operator gave none."""

    entity: str
    paused_at: datetime
    paused_by: str
    reason: str | None


_PAUSE = text("""
insert into tds_queue_pauses (entity, paused_by, reason)
select entity, :by, :reason from unnest(cast(:entities as text[])) as wanted(entity) order by entity
on conflict (entity) do nothing
""")
_RESUME = text("delete from tds_queue_pauses where entity = any(:entities)")
_PAUSES = text("select entity, paused_at, paused_by, reason from tds_queue_pauses order by entity")


def pause(session: Session, entity: str | None, *, by: str, reason: str | None = None) -> list[QueuePause]:
    """Pause `entity`, or all where it is None; one paused before keeps its reason. Returns all pauses."""
    session.execute(_PAUSE, {"entities": _names(entity), "by": by, "reason": reason})
    return pauses(session)


def resume(session: Session, entity: str | None) -> list[QueuePause]:
    """Resume `entity`, or all where it is None. Returns the remaining pauses."""
    session.execute(_RESUME, {"entities": _names(entity)})
    return pauses(session)


def pauses(session: Session) -> list[QueuePause]:
    """The paused entities: since when, by whom and why."""
    return cast("list[QueuePause]", [dict(row) for row in session.execute(_PAUSES).mappings()])


def _names(entity: str | None) -> Sequence[str]:
    return [entity] if entity is not None else list(ENTITIES)
