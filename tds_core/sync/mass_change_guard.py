"""The mass-change guard: holds a run that would change or delete too many records until an operator decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import TdsError
from tds_core.sync import deletions, foreign_organization_rows
from tds_core.sync.change_limits import ChangeLimits, HoldReason, too_many_absences, too_many_changes, with_margin
from tds_core.sync.runs import RunLease
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

log = structlog.get_logger(__name__)

#: How many of the affected records a hold shows.
EXAMPLE_COUNT = 20


class NotHeldError(TdsError):
    """The run is not held."""

    code = "run_not_held"


class ChangedRecord(TypedDict):
    """A record that the page changed. `operation`: updated or restored; `changes`: JSON of its fields."""

    source_id: str
    operation: str
    changes: msgspec.Raw
    name: str | None


class AbsentRecord(TypedDict):
    """A record that the list does not show."""

    source_id: str
    name: str | None


class ChangePreview(TypedDict):
    """The records concerned by changes. `written_count`: changed by earlier pages; `unread_count`: not read yet."""

    living_count: int
    written_count: int
    page_count: int
    unread_count: int
    examples: list[ChangedRecord]


class AbsencePreview(TypedDict):
    """The records concerned by deletions. `listed_count`: records that the list showed."""

    living_count: int
    listed_count: int
    examples: list[AbsentRecord]


@dataclass(frozen=True, slots=True)
class MassChange:
    """What a run would change if it went on, and why an operator has to decide."""

    kind: HoldReason
    reason: str
    record_count: int
    preview: ChangePreview | AbsencePreview


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


def count_changes(session: Session, run: RunLease, *, changed_count: int, limits: ChangeLimits) -> MassChange | None:
    """The mass change of a run whose page has just changed `changed_count` records more; None when it may go on.

    The caller rolls the page back. A first load is never held.
    """
    entity, total = ENTITIES[run.entity], run.changed_count + changed_count
    if not changed_count or total <= max(limits.records, run.passed_count):
        return None
    living = deletions.live_count(session, entity)
    approved = approved_count(session, run.id, HoldReason.CHANGE)
    reason = too_many_changes(total, living=living, approved=approved, limits=limits)
    params = {"source": entity.stream.source, "entity": entity.name}
    if reason is None or session.execute(IS_FIRST, params).scalar_one():
        # Counting a large mirror takes longer than a page: not again before half as many have changed once more.
        run.passed_count = max(approved, limits.of(living), total + total // 2 if reason else 0)
        return None
    rows = session.execute(CHANGED, {"run": run.id, "limit": EXAMPLE_COUNT}).mappings().all()
    names = names_of(session, entity, [row["source_id"] for row in rows])
    preview: ChangePreview = {
        "living_count": living,
        "written_count": run.changed_count,
        "page_count": changed_count,
        "unread_count": max(0, living - run.fetched_count),
        "examples": [
            {
                "source_id": row["source_id"],
                "operation": row["operation"],
                "changes": msgspec.Raw(row["changes"].encode()),
                "name": names.get(row["source_id"]),
            }
            for row in rows
        ],
    }
    return MassChange(HoldReason.CHANGE, reason, total, preview)


def count_absences(
    session: Session, run: RunLease, source_ids: Sequence[str], *, limits: ChangeLimits
) -> MassChange | None:
    """The mass change if the rows `source_ids`, missing in the list of `run`, were deleted; None when it may go on."""
    entity = ENTITIES[run.entity]
    living = deletions.live_count(session, entity)
    reason = too_many_absences(
        len(source_ids),
        living=living,
        listed=run.fetched_count,
        approved=approved_count(session, run.id, HoldReason.DELETION),
        limits=limits,
    )
    if reason is None:
        return None
    names = names_of(session, entity, source_ids[:EXAMPLE_COUNT])
    examples: list[AbsentRecord] = [{"source_id": each, "name": names.get(each)} for each in source_ids[:EXAMPLE_COUNT]]
    preview: AbsencePreview = {"living_count": living, "listed_count": run.fetched_count, "examples": examples}
    foreign = foreign_organization_rows.named_among(session, entity, source_ids)
    foreign_reasons = [f"{count:,} of them say that they are of organisation {name}" for name, count in foreign.items()]
    return MassChange(HoldReason.DELETION, "; ".join([reason, *foreign_reasons]), len(source_ids), preview)


def names_of(session: Session, entity: Entity, source_ids: Sequence[str]) -> dict[str, str]:
    """Name, number or SKU of these records, by source id."""
    column = next((field.name for field in entity.fields if field.name in ("name", "number", "sku")), "source_id")
    statement = text(
        f"select source_id, {column} from {entity.table.fullname} where source = :source and source_id = any(:ids)"
    )
    rows = session.execute(statement, {"source": entity.stream.source, "ids": list(source_ids)})
    return {row[0]: row[1] for row in rows}


HELD = text("""
select entity from tds_sync_runs where entity = any(:entities) and state = 'held' and mode in ('full', 'incremental')
""")


def held_entities(session: Session, entities: Sequence[str]) -> set[str]:
    """Those of `entities` with a held pass."""
    return set(session.execute(HELD, {"entities": list(entities)}).scalars())


HOLD = text("""
with held as (
    update tds_sync_runs set state = 'held', end_reason = :reason, lease_token = null, leased_until = null,
        api_call_count = api_call_count + :calls
    where id = :id and lease_token = :token and cancel_requested_at is null returning id
)
insert into tds_run_holds (run_id, kind, reason, record_count, preview)
select id, :kind, :reason, :count, cast(:preview as jsonb) from held returning id
""")


def hold(
    session: Session,
    run: RunLease,
    kind: HoldReason,
    *,
    reason: str,
    record_count: int,
    preview: ChangePreview | AbsencePreview,
    call_count: int = 0,
) -> bool:
    """Hold `run` until an operator decides. False when it was cancelled, or its lease was lost.

    `call_count`: calls made for a page that was not written.
    """
    params = {
        "id": run.id,
        "token": run.token,
        "kind": kind.value,
        "reason": reason,
        "count": record_count,
        "preview": msgspec.json.encode(preview).decode(),
        "calls": call_count,
    }
    if session.execute(HOLD, params).first() is None:
        return False
    log.warning("run_held", run_id=run.id, entity=run.entity, kind=kind.value, record_count=record_count, reason=reason)
    return True


APPROVED = text("""
select coalesce(max(approved_count), 0) from tds_run_holds
where run_id = :run and kind = :kind and decision = 'approved'
""")


def approved_count(session: Session, run_id: int, kind: HoldReason) -> int:
    """The number of records an operator approved for this run; 0 when it was never held."""
    return int(session.execute(APPROVED, {"run": run_id, "kind": kind.value}).scalar_one())


OPEN_HOLD = text("select kind, record_count from tds_run_holds where run_id = :id and decided_at is null for update")

DECIDE = text("""
update tds_run_holds set decision = :decision, decided_by = :by, decided_at = now(), approved_count = :approved
where run_id = :id and decided_at is null
""")

GO_ON = text("""
update tds_sync_runs set state = 'running', attempts = 0, next_attempt_at = now(), end_reason = 'approved by ' || :by
where id = :id and state = 'held'
""")

REJECT = text("""
update tds_sync_runs set state = 'rejected', ended_at = now(), end_reason = 'rejected by ' || :by || ': ' || end_reason
where id = :id and state = 'held'
""")


def approve(session: Session, run_id: int, *, by: str, up_to: int | None = None) -> int:
    """Let a held run go on where it stopped. Raises NotHeldError.

    Returns the number of records it may change now, beyond which it is held again: `up_to`, or twice what it was held
    for.
    """
    record_count = _held_for(session, run_id)
    approved = max(record_count, with_margin(record_count) if up_to is None else up_to)
    session.execute(DECIDE, {"id": run_id, "decision": "approved", "by": by, "approved": approved})
    session.execute(GO_ON, {"id": run_id, "by": by})
    log.info("run_approved", run_id=run_id, operator=by, approved_count=approved)
    return approved


def reject(session: Session, run_id: int, *, by: str) -> None:
    """End a held run; what it wrote before stays, and it changes nothing more. Raises NotHeldError."""
    _held_for(session, run_id)
    session.execute(DECIDE, {"id": run_id, "decision": "rejected", "by": by, "approved": None})
    session.execute(REJECT, {"id": run_id, "by": by})
    log.info("run_rejected", run_id=run_id, operator=by)


def _held_for(session: Session, run_id: int) -> int:
    """How many records the run is held for; it stays held until the caller's transaction ends."""
    row = session.execute(OPEN_HOLD, {"id": run_id}).first()
    if row is None:
        raise NotHeldError(f"Run {run_id} does not wait for a decision. Those that do: tds runs --state held")
    return int(row.record_count)
