"""Resting: while lists are read, or back-fill's share of an API's quota is used, its work stays in the queue, unclaimed
and unannounced.

One row says the latter for all workers and the dispatcher; the thousands of items that wait need not be touched.

Pausing the queue: an operator lets the work of entities wait. What arrives is taken as ever, and nothing is lost.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import SourceError
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


# A place that is free again every second is not worth claiming records for every second.
LEAST_SECONDS = 3.0
# The quota may be raised, or corrected by what the source says, so it is asked again now and then.
MOST_SECONDS = 900.0

#: Whether lists are being read, or will be within a minute: they come first, for a list call shows 200 records and a
#: detail one. What waits behind another run of its entity (a failing or a held one) keeps nobody waiting by itself.
LISTS_FIRST = """exists (
    select from tds_sync_runs p where p.mode in ('full', 'incremental') and p.state in ('queued', 'running')
      and (p.lease_token is not null or p.next_attempt_at <= now() + interval '1 minute')
      and not exists (select from tds_sync_runs o
                      where o.source = p.source and o.entity = p.entity and o.mode in ('full', 'incremental')
                        and (o.state = 'held' or (o.id < p.id and o.state in ('queued', 'running')))))"""

REST = text("""
insert into tds_backfill_rests (source, api, rests_until, reason)
values (:source, :api, clock_timestamp() + make_interval(secs => :seconds), :reason)
on conflict (source, api) do update set rests_until = excluded.rests_until, reason = excluded.reason
""")


def throttle_backfill(session: Session, *, source: str, api: str, refusal: SourceError) -> None:
    """Leave `api` to more urgent calls for about as long as `refusal` says."""
    seconds = min(max(refusal.after_seconds, LEAST_SECONDS), MOST_SECONDS)
    session.execute(REST, {"source": source, "api": api, "seconds": seconds, "reason": str(refusal)[:300]})
