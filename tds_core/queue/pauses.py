"""Eligibility of queued work: what keeps due items from being claimed, for all workers, without touching the items.

An operator pauses an entity: its events are received as ever, and its work waits. Back-fill waits while lists are being
read, and, by one row for each API, while its share of the quota is used up.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import SourceError
from tds_models.entities import ENTITIES


class QueuePause(TypedDict):
    """A paused entity. `reason`: None where the operator gave none."""

    entity: str
    paused_at: datetime
    paused_by: str
    reason: str | None


#: Whether an entity is paused; items claimed before are still completed.
PAUSED = "exists (select from tds_queue_pauses p where p.entity = {entity})"

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


# The shortest throttle: claiming anew every second costs more than it brings.
LEAST_SECONDS = 3.0
# The longest: the quota may be raised, or corrected by a response, so it is tried again now and then.
MOST_SECONDS = 900.0

#: Whether lists are being read, or will be within a minute: they come first, for a list call shows 200 records and a
#: detail one. A run that waits behind another of its entity (a failing or a held one) does not count.
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
    """Keep back-fill of `api` unclaimed for as long as `refusal` asks, between 3 s and 15 min."""
    seconds = min(max(refusal.after_seconds, LEAST_SECONDS), MOST_SECONDS)
    session.execute(REST, {"source": source, "api": api, "seconds": seconds, "reason": str(refusal)[:300]})
