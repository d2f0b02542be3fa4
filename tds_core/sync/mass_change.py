"""The guard at work: counts what a run is about to change or miss, and gathers what a person has to see of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sync import deletions, foreign_rows, holds
from tds_core.sync.holds import EXAMPLE_COUNT, ChangeLimits, HoldReason, too_many_absences, too_many_changes
from tds_core.sync.runs import RunLease
from tds_models.entities import ENTITIES
from tds_models.entities.base import Entity


@dataclass(frozen=True, slots=True)
class ChangeCount:
    """What a run would come to if it went on, and why a person has to decide."""

    kind: HoldReason
    reason: str
    record_count: int
    preview: dict[str, Any]


IS_FIRST = text("""
select not exists (select from tds_sync_runs where source = :source and entity = :entity
    and state = 'completed' and mode in ('full', 'incremental'))
""")

# Changes travel as the JSON they are: a driver would make floats of their numbers.
CHANGED = text("""
select source_id, operation, changes::text as changes from tds_audit_trail
where recorded_at = now() and origin = 'run' and origin_id = :run and operation in ('updated', 'restored')
order by source_id limit :limit
""")


def count_changes(session: Session, run: RunLease, *, changed_count: int, limits: ChangeLimits) -> ChangeCount | None:
    """What is at stake when the page just written brings `changed_count` changes more; `None`: it may stay.

    The caller takes the page back. A first load changes what it meets: it is never held.
    """
    entity, total = ENTITIES[run.entity], run.changed_count + changed_count
    if not changed_count or total <= max(limits.records, run.passed_count):
        return None
    living = deletions.live_count(session, entity)
    approved = holds.approved_count(session, run.id, HoldReason.CHANGE)
    reason = too_many_changes(total, living=living, approved=approved, limits=limits)
    params = {"source": entity.stream.source, "entity": entity.name}
    if reason is None or session.execute(IS_FIRST, params).scalar_one():
        # Counting a large mirror takes longer than a page: not again before half as many have changed once more.
        run.passed_count = max(approved, limits.of(living), total + total // 2 if reason else 0)
        return None
    found = session.execute(CHANGED, {"run": run.id, "limit": EXAMPLE_COUNT}).mappings().all()
    names = names_of(session, entity, [row["source_id"] for row in found])
    preview = {
        "living_count": living,
        "written_count": run.changed_count,
        "page_count": changed_count,
        "unread_count": max(0, living - run.fetched_count),
        "examples": [
            {**row, "name": names.get(row["source_id"]), "changes": msgspec.Raw(row["changes"].encode())}
            for row in found
        ],
    }
    return ChangeCount(HoldReason.CHANGE, reason, total, preview)


def count_absences(
    session: Session, run: RunLease, source_ids: Sequence[str], *, limits: ChangeLimits
) -> ChangeCount | None:
    """What is at stake when the rows `source_ids`, which the listing of `run` left out, are asked for; `None`:
    little.
    """
    entity = ENTITIES[run.entity]
    living = deletions.live_count(session, entity)
    reason = too_many_absences(
        len(source_ids),
        living=living,
        listed=run.fetched_count,
        approved=holds.approved_count(session, run.id, HoldReason.DELETION),
        limits=limits,
    )
    if reason is None:
        return None
    names = names_of(session, entity, source_ids[:EXAMPLE_COUNT])
    examples = [{"source_id": each, "name": names.get(each)} for each in source_ids[:EXAMPLE_COUNT]]
    preview = {"living_count": living, "listed_count": run.fetched_count, "examples": examples}
    named = foreign_rows.named_among(session, entity, source_ids)
    told = [f"{count:,} of them say that they are of organisation {name}" for name, count in named.items()]
    return ChangeCount(HoldReason.DELETION, "; ".join([reason, *told]), len(source_ids), preview)


def names_of(session: Session, entity: Entity, source_ids: Sequence[str]) -> dict[str, str]:
    """How people call these records: by name or number, by source id."""
    column = next((field.name for field in entity.fields if field.name in ("name", "number", "sku")), "source_id")
    statement = text(
        f"select source_id, {column} from {entity.table.fullname} where source = :source and source_id = any(:ids)"
    )
    rows = session.execute(statement, {"source": entity.stream.source, "ids": list(source_ids)})
    return {row[0]: row[1] for row in rows}
