"""Repair: what of the mirror is not what its history says is read anew from the source, whatever its time says."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.invariants import rebuild
from tds_core.sync import runs
from tds_core.sync.run_requests import request_records
from tds_models.entities import ENTITIES
from tds_models.entities.base import Entity
from tds_models.runs import Mode

#: More rows than these that are not there are read from the list, which tells many at a time.
MOST_READ_SINGLY = 100


@dataclass(frozen=True, slots=True)
class Repair:
    """What was found of one entity and asked for: rows that are not there, rows that are otherwise, and the runs."""

    entity: str
    missing_count: int
    differing_count: int
    run_ids: list[int]


def request_repair(session: Session, *, entity: str, requested_by: str, correlation_id: str = "") -> Repair:
    """Hold the rows and lines of `entity` against their history, and ask for those that differ: a run for given
    records, and where many are not there a full pass.
    """
    differing = _differing(session, ENTITIES[entity])
    there = _there(session, ENTITIES[entity], differing)
    missing = [source_id for source_id in differing if source_id not in there]
    # No list shows those that were deleted in the source.
    singly = _deleted(session, ENTITIES[entity], missing) if len(missing) > MOST_READ_SINGLY else set(missing)
    params = {"entity": entity, "requested_by": requested_by, "correlation_id": correlation_id}
    run_ids = []
    if len(singly) < len(missing):
        run_ids.append(runs.request_run(session, mode=Mode.FULL, **params))
    if there or singly:
        run_ids.append(request_records(session, source_ids=sorted(there | singly), forced=True, **params))
    return Repair(entity, len(missing), len(differing) - len(missing), run_ids)


def _differing(session: Session, entity: Entity) -> list[str]:
    found: set[str] = set()
    for check in rebuild.checks_of(entity):
        found |= set(session.execute(text(f"select source_id from ({check.broken}) as broken")).scalars())
    return sorted(found)


def _there(session: Session, entity: Entity, source_ids: list[str]) -> set[str]:
    statement = text(f"select source_id from {entity.table.fullname} where source = :source and source_id = any(:ids)")
    return set(session.execute(statement, {"source": entity.stream.source, "ids": source_ids}).scalars())


_LAST = text("""
select distinct on (source_id) source_id, operation from tds_audit_trail
where entity = :entity and source = :source and source_id = any(:ids) order by source_id, version desc
""")


def _deleted(session: Session, entity: Entity, source_ids: list[str]) -> set[str]:
    """Those of `source_ids` whose history ends with their deletion."""
    params = {"entity": entity.name, "source": entity.stream.source, "ids": source_ids}
    return {row.source_id for row in session.execute(_LAST, params) if row.operation == "deleted"}
