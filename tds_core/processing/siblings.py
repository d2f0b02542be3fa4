"""Siblings: entities made of the same records of a source, such as a product and its stock. One reading tells all.

What a detail says of a record is applied to each of them in the same transaction, in the order of the registry, so that
they never disagree and no record is asked for twice.
"""

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.dead_letters import store
from tds_core.errors import InvalidRecordError
from tds_core.queue import attempts
from tds_core.queue.items import Claim, Item
from tds_core.records.apply import Applied, Standing, apply, hold_rows
from tds_core.records.compare import RowOutcome
from tds_core.records.row_locks import LockedError
from tds_core.records.transform import Candidate, Evidence, transform
from tds_core.sync import holds, partial_rows
from tds_models.entities import ENTITIES
from tds_models.entities.base import Entity


@cache
def siblings_of(name: str) -> tuple[Entity, ...]:
    """The other entities that are made of the same records as entity `name`."""
    own = ENTITIES[name]
    return tuple(each for each in ENTITIES.values() if each is not own and _records_of(each) == _records_of(own))


def _records_of(entity: Entity) -> tuple[object, ...]:
    stream = entity.stream
    return stream.source, stream.api, stream.path, stream.id_key, stream.kind


@dataclass(frozen=True, slots=True)
class SiblingResult:
    """What became of candidates, and by entity what their readings did to its siblings."""

    own: Sequence[Applied]
    others: Mapping[str, Sequence[Applied]] = field(default_factory=dict)

    def ids(self, name: str) -> set[str]:
        """The records of sibling `name` that need no reading of their own."""
        return {each.candidate.source_id for each in self.others.get(name, ())}


def hold_all(session: Session, entity: Entity, candidates: Mapping[str, Candidate]) -> dict[str, Standing]:
    """Lock the rows of `candidates`, and of siblings that readings among them tell of, in the registry's order.

    See `hold_rows`. A sibling whose table somebody else has locked is not told, and makes nobody wait; nor is one of
    which a pass is held, for what would change many of its records is for a person to decide.
    """
    if not candidates:
        return {entity.name: Standing({}, {})}
    siblings = siblings_of(entity.name)
    read = sorted(key for key, each in candidates.items() if each.seen is Evidence.DETAIL) if siblings else []
    undecided = holds.held_entities(session, [each.name for each in siblings]) if read else set()
    standings: dict[str, Standing] = {}
    for each in ENTITIES.values():
        if each is entity:
            standings[each.name] = hold_rows(session, each, sorted(candidates))
        elif each in siblings and read and each.name not in undecided and (held := _hold(session, each, read)):
            standings[each.name] = held
    return standings


def _hold(session: Session, entity: Entity, source_ids: Sequence[str]) -> Standing | None:
    trial = session.begin_nested()
    try:
        held = hold_rows(session, entity, source_ids)
    except LockedError:
        trial.rollback()
        return None
    trial.commit()
    return held


def apply_to_all(
    session: Session, entity: Entity, candidates: Sequence[Candidate], standings: Mapping[str, Standing]
) -> SiblingResult:
    """Apply `candidates`, and what the readings among them say of siblings, to rows that are held (`hold_all`)."""
    own: Sequence[Applied] = ()
    others: dict[str, Sequence[Applied]] = {}
    for name, standing in standings.items():
        if name == entity.name:
            own = apply(session, entity, candidates, standing.rows)
            continue
        told = _of_sibling(session, ENTITIES[name], candidates, standing)
        applied = apply(session, ENTITIES[name], told, standing.rows)
        others[name] = [each for each in applied if each.outcome is not RowOutcome.REFETCH]
    return SiblingResult(own, others)


def _of_sibling(
    session: Session, entity: Entity, candidates: Sequence[Candidate], standing: Standing
) -> list[Candidate]:
    """The readings among `candidates` as `entity`'s. A record that is gone is so here only where there was one."""
    shown = partial_rows.shown_in_details(session, entity)
    read = [each for each in candidates if each.seen is Evidence.DETAIL and each.source_id not in standing.locked]
    found = []
    for each in read:
        if not each.gone:
            with suppress(InvalidRecordError):  # its own reading says what is wrong
                found.append(_read(entity, each, shown))
        elif (row := standing.rows.get(each.source_id)) and row["deleted_at"] is None:
            found.append(replace(each, values={}, lines={}))
    return found


def _read(entity: Entity, seen: Candidate, shown: Set[str]) -> Candidate:
    return transform(
        entity, seen.record, seen=Evidence.DETAIL, read_at=seen.read_at, provenance=seen.provenance, shown=shown,
        clock=seen.clock,
    )  # fmt: skip


# Work that only a reading was owed for, and that was owed before this one was asked for. What others have in hand is
# left to them, without waiting.
ANSWERED = text("""
with answered as (
    select q.id from tds_sync_queue q
    where q.source = :source and q.entity = :entity and q.source_id = any(:ids) and q.lease_token is null
      and q.must_read and q.origin in ('run', 'sweep', 'fed') and q.updated_at < :read_at
      and not exists (select from tds_inbox_events e where e.source = q.source and e.entity = q.entity
                      and e.source_id = q.source_id and e.verdict is null)
    order by q.source_id for update of q skip locked
)
delete from tds_sync_queue q using answered a where q.id = a.id
returning q.id, q.source_id, q.generation, q.must_read, q.origin, q.attempts, q.priority, q.correlation_id, q.created_at
""")


def finish_answered(session: Session, claim: Claim, told: SiblingResult) -> None:
    """End what was owed to siblings and is answered by the same reading, with a line each in the log of attempts."""
    for name, applied in told.others.items():
        outcomes = {each.candidate.source_id: each.outcome for each in applied}
        read_at = min((each.candidate.read_at for each in applied if each.candidate.read_at), default=None)
        if read_at is None:
            continue
        items = _answered(session, ENTITIES[name], list(outcomes), read_at)
        store.resolve(session, source=claim.source, entity=name, outcomes=outcomes)
        lines = [attempts.ended(item, outcomes[item.source_id]) for item in items]
        attempts.log(session, replace(claim, entity=name), lines)


def _answered(session: Session, entity: Entity, ids: Sequence[str], read_at: datetime) -> list[Item]:
    params = {"source": entity.stream.source, "entity": entity.name, "ids": ids, "read_at": read_at}
    return [Item(**row) for row in session.execute(ANSWERED, params).mappings()]
