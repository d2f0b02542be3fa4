"""Holds: a run that would change too much waits for a person, who sees what is at stake and approves or rejects it.

The guard against mass change: decides from counts whether a run may go on or a person has to look first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import TdsError
from tds_core.sync.runs import RunLease

#: A listing in which so large a part of the mirror is missing is not believed, however small the mirror is.
IMPLAUSIBLE_PART = 1 / 3


class HoldReason(StrEnum):
    """What a run would do too much of."""

    CHANGE = "change"
    DELETION = "deletion"


@dataclass(frozen=True, slots=True)
class ChangeLimits:
    """How much a run may change unasked: a share of the living records in percent, or so many records."""

    percent: int
    records: int

    def of(self, living: int) -> int:
        """How many of `living` records a run may change, and how many it may find gone: the larger of the two."""
        return max(self.records, living * self.percent // 100)


def too_many_changes(changed: int, *, living: int, approved: int, limits: ChangeLimits) -> str | None:
    """Why a run that would come to `changed` changed records is held; `None` when it may go on."""
    allowed = max(limits.of(living), approved)
    if changed <= allowed:
        return None
    return f"{changed:,} of {living:,} records would be changed, more than the {allowed:,} that pass unasked"


def too_many_absences(absent: int, *, living: int, listed: int, approved: int, limits: ChangeLimits) -> str | None:
    """Why a run whose complete listing left out `absent` of `living` records is held; `None`: they may be asked for.

    `listed`: how many rows the listing had.
    """
    if absent <= approved or not absent:
        return None
    missing = f"{absent:,} of {living:,} records are missing"
    if not listed:
        return f"the listing was empty: {missing}"
    if absent > limits.of(living):
        return f"{missing}, more than the {limits.of(living):,} that pass unasked"
    if absent > 1 and absent >= living * IMPLAUSIBLE_PART:
        return f"{missing}: a listing without so large a part is not believed"
    return None


def with_margin(record_count: int) -> int:
    """Up to how many records an approval reaches: what was held, and as much again for what comes behind it."""
    return 2 * record_count


log = structlog.get_logger(__name__)

#: So many records are shown of those at stake.
EXAMPLE_COUNT = 20


class NotHeldError(TdsError):
    """The run does not wait for a decision."""

    code = "run_not_held"


HELD = text("""
select entity from tds_sync_runs where entity = any(:entities) and state = 'held' and mode in ('full', 'incremental')
""")


def held_entities(session: Session, entities: Sequence[str]) -> set[str]:
    """Those of `entities` of which a pass waits for a decision."""
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
    preview: Mapping[str, Any],
    call_count: int = 0,
) -> bool:
    """Lay `run` down until a person decides. False when it was cancelled, or went to somebody else.

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
    """Up to how many records a person let this run come to; 0 when nobody was asked."""
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
    """Let a held run go on where it stopped. Returns up to how many records it may come to now: `up_to`, or what it
    was held for and as much again; beyond that it is held anew. Raises NotHeldError.
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
    found = session.execute(OPEN_HOLD, {"id": run_id}).first()
    if found is None:
        raise NotHeldError(f"Run {run_id} does not wait for a decision. Those that do: tds runs --state held")
    return int(found.record_count)
