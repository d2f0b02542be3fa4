"""Pausing the queue: an operator lets the work of entities wait. What arrives is taken as ever, and nothing is lost."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_models.entities import ENTITIES

#: Whether the work of an entity waits; what is claimed already is done.
PAUSED = "exists (select from tds_queue_pauses p where p.entity = {entity})"

_PAUSE = text("""
insert into tds_queue_pauses (entity, paused_by, reason)
select entity, :by, :reason from unnest(cast(:entities as text[])) as wanted(entity) order by entity
on conflict (entity) do nothing
""")
_RESUME = text("delete from tds_queue_pauses where entity = any(:entities)")
_PAUSES = text("select entity, paused_at, paused_by, reason from tds_queue_pauses order by entity")


def pause(session: Session, entity: str | None, *, by: str, reason: str | None = None) -> list[dict[str, Any]]:
    """Let the work of `entity` wait, of all where it is None. One that waits already stays as it is. Returns all."""
    session.execute(_PAUSE, {"entities": _meant(entity), "by": by, "reason": reason})
    return pauses(session)


def resume(session: Session, entity: str | None) -> list[dict[str, Any]]:
    """Let the work of `entity` go on, of all where it is None. Returns what still waits."""
    session.execute(_RESUME, {"entities": _meant(entity)})
    return pauses(session)


def pauses(session: Session) -> list[dict[str, Any]]:
    """Whose work waits: since when, by whom and why."""
    return [dict(row) for row in session.execute(_PAUSES).mappings()]


def _meant(entity: str | None) -> Sequence[str]:
    return [entity] if entity is not None else list(ENTITIES)
