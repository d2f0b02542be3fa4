"""Related entities: what a record of one entity means for records of others.

Siblings are made of the same source records, such as a product and its stock level: a detail that was read for one of
them is applied to all in the same transaction, in the order of the registry, so that they never disagree and no record
is read twice. Dependents change when others do, without an event of their own: they are enqueued to be read.
"""

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from tds_core.dead_letters import burial
from tds_core.errors import InvalidRecordError
from tds_core.queue import items as queue_items
from tds_core.queue.items import Claim, Item
from tds_core.records.apply import Applied, LockedRows, apply, try_lock_rows
from tds_core.records.compare import WRITES, RowOutcome
from tds_core.records.row_lock_waits import LockedError
from tds_core.records.transform import Candidate, RecordView, transform
from tds_core.sync import mass_change_guard, partial_rows
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity


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
    """The outcomes of candidates for their own entity, and by entity for its siblings."""

    own: Sequence[Applied]
    others: Mapping[str, Sequence[Applied]] = field(default_factory=dict)

    def ids(self, name: str) -> set[str]:
        """The records of sibling `name` that were applied and need no reading of their own."""
        return {each.candidate.source_id for each in self.others.get(name, ())}


def lock_all(session: Session, entity: Entity, candidates: Mapping[str, Candidate]) -> dict[str, LockedRows]:
    """Lock the rows of `candidates`, and those of siblings that details among them apply to, in the registry's order.

    By entity; see `try_lock_rows`. Left out are siblings whose table another transaction has locked, and those with a
    held pass: what would change many of their records is an operator's decision.
    """
    if not candidates:
        return {entity.name: LockedRows({}, {})}
    siblings = siblings_of(entity.name)
    read = sorted(key for key, each in candidates.items() if each.view is RecordView.DETAIL) if siblings else []
    held_names = mass_change_guard.held_entities(session, [each.name for each in siblings]) if read else set()
    locked_rows: dict[str, LockedRows] = {}
    for each in ENTITIES.values():
        if each is entity:
            locked_rows[each.name] = try_lock_rows(session, each, sorted(candidates))
        elif each in siblings and read and each.name not in held_names and (rows := _try_lock(session, each, read)):
            locked_rows[each.name] = rows
    return locked_rows


def _try_lock(session: Session, entity: Entity, source_ids: Sequence[str]) -> LockedRows | None:
    savepoint = session.begin_nested()
    try:
        locked = try_lock_rows(session, entity, source_ids)
    except LockedError:
        savepoint.rollback()
        return None
    savepoint.commit()
    return locked


def apply_to_all(
    session: Session, entity: Entity, candidates: Sequence[Candidate], locked_rows: Mapping[str, LockedRows]
) -> SiblingResult:
    """Apply `candidates`, and the details among them to siblings as well, to rows locked by `lock_all`."""
    own: Sequence[Applied] = ()
    others: dict[str, Sequence[Applied]] = {}
    for name, locked in locked_rows.items():
        if name == entity.name:
            own = apply(session, entity, candidates, locked.rows)
            continue
        sibling_candidates = _sibling_candidates(session, ENTITIES[name], candidates, locked)
        applied = apply(session, ENTITIES[name], sibling_candidates, locked.rows)
        others[name] = [each for each in applied if each.outcome is not RowOutcome.REFETCH]
    return SiblingResult(own, others)


def _sibling_candidates(
    session: Session, entity: Entity, candidates: Sequence[Candidate], locked: LockedRows
) -> list[Candidate]:
    """The details among `candidates`, for `entity`. A deleted one counts only where the mirror has a row."""
    shown = partial_rows.shown_in_details(session, entity)
    read = [each for each in candidates if each.view is RecordView.DETAIL and each.source_id not in locked.blocked]
    transformed = []
    for each in read:
        if not each.gone:
            with suppress(InvalidRecordError):  # its own reading says what is wrong
                transformed.append(_read(entity, each, shown))
        elif (row := locked.rows.get(each.source_id)) and row["deleted_at"] is None:
            transformed.append(replace(each, values={}, lines={}))
    return transformed


def _read(entity: Entity, candidate: Candidate, shown: Set[str]) -> Candidate:
    return transform(
        entity, candidate.record, view=RecordView.DETAIL, read_at=candidate.read_at, provenance=candidate.provenance,
        shown=shown, clock=candidate.clock,
    )  # fmt: skip


# Work items that only ask for a reading, enqueued before this one was requested. Items leased by other workers are left
# to them, without waiting.
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


def finish_answered(session: Session, claim: Claim, result: SiblingResult) -> None:
    """Finish work items of siblings that the same reading has answered, with a line each in the attempts log."""
    for name, applied in result.others.items():
        outcomes = {each.candidate.source_id: each.outcome for each in applied}
        read_at = min((each.candidate.read_at for each in applied if each.candidate.read_at), default=None)
        if read_at is None:
            continue
        items = _answered(session, ENTITIES[name], list(outcomes), read_at)
        burial.resolve(session, source=claim.source, entity=name, outcomes=outcomes)
        lines = [queue_items.succeeded_attempt(item, outcomes[item.source_id]) for item in items]
        queue_items.log_attempts(session, replace(claim, entity=name), lines)


def _answered(session: Session, entity: Entity, ids: Sequence[str], read_at: datetime) -> list[Item]:
    params = {"source": entity.stream.source, "entity": entity.name, "ids": ids, "read_at": read_at}
    return [Item(**row) for row in session.execute(ANSWERED, params).mappings()]


@cache
def _dependents(name: str) -> tuple[tuple[Entity, TextClause | None], ...]:
    """The entities that depend on entity `name`, each with a query for its ids where they are not the same."""
    dependents = [entity for entity in ENTITIES.values() if name in entity.fed_by]
    return tuple((entity, _ids_query(ENTITIES[name], entity.fed_by[name], entity)) for entity in dependents)


def _ids_query(entity: Entity, lines: str | None, dependent: Entity) -> TextClause | None:
    if lines is None:
        return None
    # `product_id`, say: the column that names the dependent's records
    declared = next(each for each in entity.lines if each.name == lines)
    column = next(
        field.name
        for field in declared.fields
        if field.refers_to in dependent.fed_by and field.refers_to != entity.name
    )
    table = entity.line_tables[lines].fullname
    return text(
        f"select distinct {column} from {table}"
        f" where source = :source and parent_id = any(:ids) and {column} is not null"
    )


def enqueue_dependents(
    session: Session,
    entity: Entity,
    applied: Sequence[Applied],
    *,
    siblings: SiblingResult | None = None,
    correlation_id: str,
) -> None:
    """Enqueue every record of a dependent entity that `applied` may have changed.

    A dependent with the same id is enqueued only when a field changed that both entities show, and when the same
    reading was not applied to both (`siblings`).
    """
    written = [each for each in applied if each.outcome in WRITES]
    for dependent, query in _dependents(entity.name) if written else ():
        if query is None:
            shown = {field.key for field in dependent.fields}
            shared = {field.name for field in entity.fields if field.key in shown}
            known = siblings.ids(dependent.name) if siblings else frozenset()
            moved = (each.candidate.source_id for each in written if each.changed & shared or not each.changed)
            ids = [source_id for source_id in moved if source_id not in known]
        else:
            params = {"source": entity.stream.source, "ids": [each.candidate.source_id for each in written]}
            ids = list(session.execute(query, params).scalars())
        queue_items.enqueue(session, entity=dependent.name, source_ids=ids, origin="fed", correlation_id=correlation_id)
