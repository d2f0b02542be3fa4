"""Type changes: records of one path whose kind decides their entity, as contacts by type, move when it changes.

It leaves the old entity, where it is read and found to be of the other kind (a tombstone, which a change back
restores), and enters the new one.
"""

from collections.abc import Iterable, Sequence
from functools import cache

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.dead_letters import burial
from tds_core.quality import findings
from tds_core.queue import items
from tds_core.records.apply import Applied
from tds_core.records.compare import RowOutcome
from tds_core.records.source_record import read_record
from tds_core.records.transform import Candidate
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.findings import Severity

KIND = "other_kind"
#: With these a record is new to its entity.
ARRIVALS = frozenset({RowOutcome.CREATED, RowOutcome.RESTORED})


@cache
def siblings(name: str) -> tuple[Entity, ...]:
    """The entities whose records are on the same path as those of entity `name`."""
    stream = ENTITIES[name].stream
    if stream.kind is None:
        return ()
    return tuple(
        each
        for each in ENTITIES.values()
        if each.name != name and each.stream.path == stream.path and each.stream.kind is not None
    )


def follow(session: Session, entity: Entity, ended: Sequence[Applied]) -> None:
    """Have records of `entity` that arrived or left read in the sibling they came from or went to."""
    if entity.stream.kind is None:
        return
    new = [each.candidate for each in ended if each.outcome in ARRIVALS]
    if new:
        correlation_id = new[0].provenance.correlation_id
        arrive(session, entity, [each.source_id for each in new], correlation_id=correlation_id)
    gone: dict[str, list[Candidate]] = {}
    for each in ended:
        if each.candidate.why:
            value = entity.stream.kind_of(read_record(each.candidate.record).members.get(entity.stream.kind[0]))
            gone.setdefault(value or "", []).append(each.candidate)
    for sibling in siblings(entity.name):
        left = gone.get(sibling.stream.kind[1] if sibling.stream.kind else "", [])
        items.enqueue(
            session, entity=sibling.name, source_ids=[each.source_id for each in left], origin="fed",
            correlation_id=left[0].provenance.correlation_id if left else "",
        )  # fmt: skip


def arrive(session: Session, entity: Entity, source_ids: Sequence[str], *, correlation_id: str) -> None:
    """Of records new to `entity`: have those read that live in a sibling, which will find that they left it."""
    for sibling in siblings(entity.name) if source_ids else ():
        living = _living(session, sibling, source_ids)
        items.enqueue(session, entity=sibling.name, source_ids=living, origin="fed", correlation_id=correlation_id)


def set_aside(session: Session, entity: Entity, source_ids: Sequence[str], *, correlation_id: str) -> None:
    """Of list rows that are of another kind, though the list was asked for this one: they are no news of this entity.

    Those that live here are read; what was given up for its kind is given up no more.
    """
    if not source_ids:
        return
    living = _living(session, entity, source_ids)
    items.enqueue(
        session, entity=entity.name, source_ids=living, origin="sweep", bulk=True, correlation_id=correlation_id
    )
    _resolve(session, entity, source_ids)
    key, value = entity.stream.kind or ("", "")
    findings.report(
        session, kind=KIND, severity=Severity.WARNING, source=entity.stream.source, entity=entity.name, subject=key,
        detail={
            "news": f"a list asked for {key}={value} showed others: the filter was ignored; they were left out",
            "row_count": len(source_ids),
        },
    )  # fmt: skip


def _living(session: Session, entity: Entity, source_ids: Sequence[str]) -> list[str]:
    statement = text(
        f"select source_id from {entity.table.fullname}"
        " where source = :source and source_id = any(:ids) and deleted_at is null"
    )
    return list(session.execute(statement, {"source": entity.stream.source, "ids": list(source_ids)}).scalars())


def resolve_moved(session: Session, entity: Entity) -> None:
    """Resolve the dead letters of records that the mirror has in a sibling, and not here."""
    for sibling in siblings(entity.name):
        statement = text(f"""
            select distinct d.source_id from tds_dead_letter_queue d
            join {sibling.table.fullname} s using (source, source_id)
            left join {entity.table.fullname} o on o.source = d.source and o.source_id = d.source_id
                and o.deleted_at is null
            where d.source = :source and d.entity = :entity and d.resolved_at is null
              and s.deleted_at is null and o.source_id is null""")
        params = {"source": entity.stream.source, "entity": entity.name}
        _resolve(session, entity, session.execute(statement, params).scalars().all())


def _resolve(session: Session, entity: Entity, source_ids: Iterable[str]) -> None:
    outcomes = dict.fromkeys(source_ids, KIND)
    burial.resolve(session, source=entity.stream.source, entity=entity.name, outcomes=outcomes)
