"""Comparisons: requested, read by one run for each entity, and ended once all of their entities are."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.comparison.content_hashes import reads_details
from tds_core.errors import NotFoundError
from tds_core.sync import runs
from tds_models.comparison import ComparisonState
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.runs import Mode

#: The source whose records are compared.
SOURCE = "zoho"


_OPEN = text("select id from tds_comparisons where source = :source and state = 'running'")
_REQUEST = text("""
insert into tds_comparisons (source, requested_by, seed, sample_size, correlation_id)
values (:source, :requested_by, :seed, :sample_size, :correlation_id)
on conflict (source) where state = 'running' do nothing returning id
""")
_ADD_PART = text("""
insert into tds_comparison_reports (comparison_id, entity, run_id, follows_run_id)
values (:comparison, :entity, :run, :follows)
""")


def request_comparison(
    session: Session,
    *,
    requested_by: str,
    entities: Sequence[str] = (),
    sample_size: int = 0,
    follow_seconds: float = 0.0,
    correlation_id: str = "",
) -> int:
    """Request a comparison of `entities` (none: all) with the source. Returns its id, or that of the open one.

    `sample_size`: so many records of each entity, chosen at random, are read in detail. `follow_seconds`: a full pass,
    or a comparison, that read an entity's list within this time is followed instead of reading the list again. Raises
    NotFoundError for an unknown entity. The open one may compare other entities: its parts say which.
    """
    names = [name for name in ENTITIES if name in entities or not entities]
    if unknown := sorted(set(entities) - set(names)):
        raise NotFoundError(f"TDS mirrors nothing called {unknown[0]!r}. Entities: {', '.join(ENTITIES)}.")
    end_stopped_parts(session)
    if (open_id := session.execute(_OPEN, {"source": SOURCE}).scalar()) is not None:
        return int(open_id)
    params = {
        "source": SOURCE,
        "requested_by": requested_by,
        "seed": random.randrange(2**53),  # noqa: S311  (a sample, not a secret)
        "sample_size": sample_size,
        "correlation_id": correlation_id or str(uuid4()),
    }
    comparison_id = session.execute(_REQUEST, params).scalar()
    if comparison_id is None:  # another request came first
        return int(session.execute(_OPEN, {"source": SOURCE}).scalar_one())
    _request_runs(session, int(comparison_id), names, follow_seconds, params)
    return int(comparison_id)


def _request_runs(
    session: Session, comparison_id: int, names: Sequence[str], follow_seconds: float, params: Mapping[str, Any]
) -> None:
    """One run for each entity; entities made of the same list rows share the reading of the list."""
    lists: dict[tuple[object, ...], int] = {}
    for name in names:
        entity = ENTITIES[name]
        followed = _followed(session, entity, seconds=follow_seconds) if follow_seconds else None
        shared = followed or (lists.get(_list_of(entity)) if reads_details(entity) else None)
        asked = {"comparison": comparison_id}
        run = runs.run_params(
            name,
            Mode.COMPARISON,
            requested_by=params["requested_by"],
            correlation_id=params["correlation_id"],
            asked=asked,
        )
        run_id = int(session.execute(runs.REQUEST, run).scalar_one())
        lists.setdefault(_list_of(entity), followed or run_id)
        part = {"comparison": comparison_id, "entity": name, "run": run_id, "follows": shared}
        session.execute(_ADD_PART, part)


def _list_of(entity: Entity) -> tuple[object, ...]:
    """What tells the list of an entity from others."""
    stream = entity.stream
    return stream.api, stream.path, stream.id_key, stream.kind, tuple(sorted(stream.where.items()))


# Of a full pass that left something out, or whose list was doubted, nothing follows.
_FOLLOWED = text("""
select r.id from tds_sync_runs r
where r.source = :source and r.entity = :entity and r.mode in ('full', 'comparison') and r.state = 'completed'
  and r.started_at > now() - make_interval(secs => :seconds)
  and coalesce(jsonb_array_length(r.report -> 'doubts'), 0) = 0
  and not exists (select from tds_sync_run_pages p where p.run_id = r.id and p.list_hashes is null)
  and not exists (select from tds_comparison_reports c
                  where c.run_id = r.id and (c.reason is not null or c.follows_run_id is not null))
order by r.started_at desc limit 1
""")


def _followed(session: Session, entity: Entity, *, seconds: float) -> int | None:
    """The newest pass that read the whole list of `entity` within `seconds`."""
    params = {"source": entity.stream.source, "entity": entity.name, "seconds": seconds}
    run_id = session.execute(_FOLLOWED, params).scalar()
    return None if run_id is None else int(run_id)


@dataclass(frozen=True, slots=True)
class ComparisonPart:
    """The part of a comparison that a run reads for. `list_run_id`: the run whose pages show the list.

    `follows_mode`: the mode of the run that is followed, `list_began_at` when it began, `list_is_read` whether it read
    its list to the end, `list_is_lost` whether it never will, `list_doubts` why its pages may not show all; None, None,
    True, False and nothing where this run reads the list itself.
    """

    comparison_id: int
    entity: Entity
    run_id: int
    list_run_id: int
    follows_mode: str | None
    list_began_at: datetime | None
    list_is_read: bool
    list_is_lost: bool
    list_doubts: Sequence[str]
    followed_comparison_id: int | None
    seed: int
    sample_size: int

    @property
    def follows(self) -> bool:
        """Whether the list was read by another run."""
        return self.follows_mode is not None


_PART = text("""
select p.comparison_id, p.entity, p.run_id, coalesce(p.follows_run_id, p.run_id) as list_run_id,
       f.mode as follows_mode, f.started_at as list_began_at,
       coalesce(f.state = 'completed' or coalesce((f.report ->> 'listed')::boolean, false), true) as list_is_read,
       coalesce(f.state in ('failed', 'cancelled', 'rejected'), false) as list_is_lost,
       coalesce(f.report -> 'doubts', '[]') as list_doubts,
       (select o.comparison_id from tds_comparison_reports o where o.run_id = f.id and o.entity = p.entity)
           as followed_comparison_id,
       c.seed, c.sample_size
from tds_comparison_reports p join tds_comparisons c on c.id = p.comparison_id
left join tds_sync_runs f on f.id = p.follows_run_id
where p.run_id = :run
""")


def part_of(session: Session, run_id: int) -> ComparisonPart:
    """The part of a comparison that run `run_id` reads for."""
    row = session.execute(_PART, {"run": run_id}).mappings().one()
    return ComparisonPart(**{**row, "entity": ENTITIES[row["entity"]]})


_READ_ITSELF = text("update tds_comparison_reports set follows_run_id = null where run_id = :run")


def read_list_itself(session: Session, run_id: int) -> None:
    """Let a part whose list another run should have read read it itself."""
    session.execute(_READ_ITSELF, {"run": run_id})


_CANCEL = text("""
select r.run_id from tds_comparison_reports r join tds_comparisons c on c.id = r.comparison_id
where c.id = :id and c.state = 'running' and r.state = 'running'
""")
_EXISTS = text("select state from tds_comparisons where id = :id")


def cancel(session: Session, comparison_id: int, *, by: str) -> bool:
    """Stop a comparison. False when it has ended already. Raises NotFoundError."""
    state = session.execute(_EXISTS, {"id": comparison_id}).scalar()
    if state is None:
        raise NotFoundError(f"There is no comparison {comparison_id}.")
    run_ids = session.execute(_CANCEL, {"id": comparison_id}).scalars().all()
    for run_id in run_ids:
        runs.cancel(session, run_id, by=by)
    end_stopped_parts(session)
    return bool(state == ComparisonState.RUNNING)


# A run that failed or was cancelled ends its part: of that nothing is proven.
_END_STOPPED = text("""
update tds_comparison_reports p
set state = r.state, agreement = 'unproven', ended_at = coalesce(r.ended_at, now()),
    reason = coalesce(r.end_reason, 'its run ended as ' || r.state), began_at = r.started_at,
    api_call_count = r.api_call_count
from tds_sync_runs r
where r.id = p.run_id and p.state = 'running' and r.state in ('failed', 'cancelled')
""")
_WITHOUT_PARTS = text("""
select c.id from tds_comparisons c where c.state = 'running'
  and not exists (select from tds_comparison_reports p where p.comparison_id = c.id and p.state = 'running')
""")


def end_stopped_parts(session: Session) -> None:
    """End the parts whose runs were cancelled or failed, and comparisons of which no part goes on."""
    session.execute(_END_STOPPED)
    for comparison_id in session.execute(_WITHOUT_PARTS).scalars().all():
        end_if_done(session, comparison_id)


_LOCK = text("select id from tds_comparisons where id = :id for update")


def lock(session: Session, comparison_id: int) -> None:
    """Lock a comparison until the transaction ends: of two parts that end at once, one sees the other's end."""
    session.execute(_LOCK, {"id": comparison_id})


# The score of the whole weighs each entity by its records.
_END = text("""
with parts as (select * from tds_comparison_reports where comparison_id = :id), total as (
    select coalesce(bool_and(state <> 'running'), true) as is_done,
           bool_or(agreement = 'unproven') as is_unproven, bool_or(agreement = 'differs') as differs,
           coalesce(sum(here_count + there_count), 0) = 0 as is_empty,  -- nothing was compared
           bool_or(state = 'cancelled') as is_cancelled, bool_or(state = 'failed') as is_failed,
           sum(score * greatest(here_count, there_count, 1)) filter (where score is not null)
               / nullif(sum(greatest(here_count, there_count, 1)) filter (where score is not null), 0) as score
    from parts
)
update tds_comparisons c
set ended_at = clock_timestamp(), score = total.score,
    state = case when is_cancelled then 'cancelled' when is_failed then 'failed' else 'completed' end,
    agreement = case when differs then 'differs' when is_unproven or is_empty then 'unproven' else 'equal' end
from total where c.id = :id and c.state = 'running' and total.is_done
returning c.agreement
""")


def end_if_done(session: Session, comparison_id: int) -> str | None:
    """End a comparison whose parts have all ended. Returns its agreement; None while it goes on."""
    lock(session, comparison_id)
    agreement = session.execute(_END, {"id": comparison_id}).scalar()
    return None if agreement is None else str(agreement)
