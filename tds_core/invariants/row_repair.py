"""Repair: re-reads from the source every row that differs from its history, whatever its time of change."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.invariants import history_checks
from tds_core.sync import runs
from tds_core.sync.run_requests import request_records
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.runs import Mode

#: More missing rows than these are read by a full pass, because a list page shows many at once.
MOST_READ_SINGLY = 100


@dataclass(frozen=True, slots=True)
class Repair:
    """The repair of one entity: how many rows are missing, how many differ, and the runs requested."""

    entity: str
    missing_count: int
    differing_count: int
    run_ids: list[int]


def request_repair(session: Session, *, entity: str, requested_by: str, correlation_id: str = "") -> Repair:
    """Compare the rows and lines of `entity` with their history and request those that differ: a targeted run, and a
    full pass where many are missing.
    """
    differing = _differing(session, ENTITIES[entity])
    present = _present(session, ENTITIES[entity], differing)
    missing = [source_id for source_id in differing if source_id not in present]
    # Records deleted in the source are on no list page.
    singly = _deleted(session, ENTITIES[entity], missing) if len(missing) > MOST_READ_SINGLY else set(missing)
    params = {"entity": entity, "requested_by": requested_by, "correlation_id": correlation_id}
    run_ids = []
    if len(singly) < len(missing):
        run_ids.append(runs.request_run(session, mode=Mode.FULL, **params))
    if present or singly:
        run_ids.append(request_records(session, source_ids=sorted(present | singly), forced=True, **params))
    return Repair(entity, len(missing), len(differing) - len(missing), run_ids)


def _differing(session: Session, entity: Entity) -> list[str]:
    found: set[str] = set()
    for check in history_checks.checks_of(entity):
        found |= set(session.execute(text(f"select source_id from ({check.broken}) as broken")).scalars())
    return sorted(found)


def _present(session: Session, entity: Entity, source_ids: list[str]) -> set[str]:
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
