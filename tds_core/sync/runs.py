"""Runs: passes over a stream that can be watched, cancelled, and resumed at the page where they stopped."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, TypedDict
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.quality import findings
from tds_core.queue.retry_policy import FailureHistory
from tds_core.sync import cursors, deletions
from tds_core.sync.position import Position, Shown
from tds_models.db import Lock
from tds_models.entities import ENTITIES
from tds_models.runs import Mode, RunState

#: The kind of finding that says that a list cannot be had in the order of changes; while it is open none is asked for.
DISORDER = "list_order"

REQUEST = text("""
insert into tds_sync_runs (source, entity, mode, requested_by, correlation_id, asked, expected_count)
values (:source, :entity, :mode, :requested_by, :correlation_id, cast(:asked as jsonb), :expected)
on conflict (source, entity, mode) where state in ('queued', 'running', 'held') and mode in ('full', 'incremental')
do nothing returning id
""")

# A full pass brings what an incremental one would, so an incremental one that has not begun becomes a full one.
UPGRADE = text("""
update tds_sync_runs set mode = 'full', requested_by = :requested_by
where source = :source and entity = :entity and mode = 'incremental' and state = 'queued' and lease_token is null
returning id
""")

OPEN = text("""
select id from tds_sync_runs where source = :source and entity = :entity and state in ('queued', 'running', 'held')
  and (mode = 'full' or (mode = 'incremental' and :mode = 'incremental')) order by mode limit 1
""")


class RunParams(TypedDict):
    """The parameters of `REQUEST`. `asked`: JSON text; `expected`: how many records it reads, where that is known."""

    source: str
    entity: str
    mode: str
    requested_by: str
    correlation_id: str
    asked: str
    expected: int | None


def request_run(session: Session, *, entity: str, mode: str, requested_by: str, correlation_id: str = "") -> int:
    """Request a pass over `entity`. Returns its id, or the id of an open one that covers it.

    A full pass requested while an incremental one runs waits behind it.
    """
    session.execute(Lock.RUN_REQUESTS.until_commit())  # two requests at once would both find no open pass
    params = run_params(entity, mode, requested_by=requested_by, correlation_id=correlation_id)
    statements = (OPEN, UPGRADE, REQUEST) if mode == Mode.FULL else (OPEN, REQUEST)
    while True:
        for statement in statements:
            run_id = session.execute(statement, params).scalar()
            if run_id is not None:
                return int(run_id)
        # The open pass that stood in the way has ended in between: try again.


def request_dry_run(session: Session, *, entity: str, full: bool, requested_by: str, correlation_id: str = "") -> int:
    """Request a dry run over `entity`, which reports what a pass would change. Returns its id."""
    params = run_params(
        entity, Mode.DRY_RUN, requested_by=requested_by, correlation_id=correlation_id, asked={"full": full}
    )
    return int(session.execute(REQUEST, params).scalar_one())


def run_params(
    entity: str,
    mode: str,
    *,
    requested_by: str,
    correlation_id: str,
    asked: Mapping[str, Any] | None = None,
    expected_count: int | None = None,
) -> RunParams:
    """The parameters of `REQUEST`. `asked`: what is requested beside the mode."""
    return {
        "source": ENTITIES[entity].stream.source,
        "entity": entity,
        "mode": Mode(mode).value,
        "requested_by": requested_by,
        "correlation_id": correlation_id or str(uuid4()),
        "asked": msgspec.json.encode(asked or {}).decode(),
        "expected": expected_count,
    }


@dataclass(slots=True)
class RunLease:
    """A run leased to this worker, with its state."""

    id: int
    entity: str
    mode: str
    attempts: int
    failures: int
    token: UUID
    position: Position
    page_count: int
    fetched_count: int
    changed_count: int
    correlation_id: str
    outcomes: Counter[str]
    asked: Mapping[str, Any]
    report: dict[str, Any]
    requested_by: str = ""
    passed_count: int = 0  # so many changes need no second look at the guard
    seen_ids: set[str] = field(default_factory=set)  # records its pages showed so far: pages overlap


#: Whether run `r` waits for an earlier pass over its stream to end.
IS_BLOCKED = """exists (
    select from tds_sync_runs o where r.mode in ('full', 'incremental') and o.mode in ('full', 'incremental')
      and o.source = r.source and o.entity = r.entity and o.id < r.id and o.state in ('queued', 'running', 'held'))"""

CLAIM = text(f"""
update tds_sync_runs r set state = 'running', started_at = coalesce(started_at, now()), lease_token = :token,
    leased_until = now() + make_interval(secs => :lease), leased_by = :worker, waits_for = null
where id = :id and state in ('queued', 'running') and lease_token is null and next_attempt_at <= now()
  and not {IS_BLOCKED}
returning id, entity, mode, attempts, failures, position, page_count, fetched_count, changed_count, correlation_id,
    outcomes, asked, coalesce(report, '{{}}') as report, requested_by
""")

DUE_RUNS = text(f"""
select id from tds_sync_runs r where state in ('queued', 'running') and lease_token is null
  and next_attempt_at <= now() and not {IS_BLOCKED} order by mode = 'comparison', requested_at limit :limit
""")

# By pages: telling a million ids apart in the database, and sending each as a row, takes longer.
SHOWN = text("select page, source_ids from tds_sync_run_pages where run_id = :id")

BEGIN = text("update tds_sync_runs set position = cast(:position as jsonb), expected_count = :expected where id = :id")


def due_runs(session: Session, *, limit: int) -> list[int]:
    """Runs that wait to be taken further, the longest waiting first; comparisons after all that bring something."""
    return list(session.execute(DUE_RUNS, {"limit": limit}).scalars())


def claim_run(
    session: Session, run_id: int, *, lease_seconds: float, overlap_seconds: float, worker: str = ""
) -> RunLease | None:
    """Lease run `run_id`; None when it has ended, waits, or is leased to another worker."""
    token = uuid4()
    params = {"id": run_id, "token": token, "lease": lease_seconds, "worker": worker or None}
    row = session.execute(CLAIM, params).mappings().first()
    if row is None:
        return None
    pages: dict[int, list[str]] = {}
    if row["page_count"]:
        pages = {each.page: each.source_ids for each in session.execute(SHOWN, {"id": run_id})}
    position = _with_seen(pages, Position.from_json(row["position"]))
    if not row["position"] and row["mode"] != Mode.TARGETED:
        incremental = row["mode"] == Mode.INCREMENTAL or not row["asked"].get("full", True)
        position = _begin(session, run_id, row["entity"], overlap_seconds if incremental else None)
    fields = {key: value for key, value in row.items() if key not in ("position", "outcomes")}
    seen_ids = set(chain.from_iterable(pages.values()))
    return RunLease(token=token, position=position, outcomes=Counter(row["outcomes"]), seen_ids=seen_ids, **fields)


def _with_seen(pages: Mapping[int, Sequence[str]], position: Position) -> Position:
    """The position with the ids its walks showed, where what is read by page numbers was left in the middle."""
    if position.page == 1 and position.walk == 1:
        return position
    seen = Shown(chain.from_iterable(ids for page, ids in pages.items() if page > position.walks_behind))
    return replace(position, seen=seen, seen_count=position.seen_count or len(seen))


def _begin(session: Session, run_id: int, entity: str, overlap_seconds: float | None) -> Position:
    """Where the run begins: behind the cursor, or (`None`) at the very beginning."""
    since = None
    if overlap_seconds is not None:
        since = cursors.begin_at(session, entity, overlap_seconds=overlap_seconds)
    in_order = not findings.is_open(session, kind=DISORDER, source=ENTITIES[entity].stream.source, entity=entity)
    position = Position.first(ENTITIES[entity].stream.increment, since, in_order=in_order)
    expected = deletions.live_count(session, ENTITIES[entity]) if since is None else None
    params = {"id": run_id, "expected": expected, "position": msgspec.json.encode(position.as_json()).decode()}
    session.execute(BEGIN, params)
    return position


END = text("""
update tds_sync_runs set state = :state, ended_at = clock_timestamp(), end_reason = :reason, lease_token = null,
    leased_until = null, outcomes = cast(:outcomes as jsonb)
where id = :id and lease_token = :token
""")


def complete(session: Session, run: RunLease, reason: str = "the list was read to its end") -> None:
    """End the run successfully."""
    _end(session, run, RunState.COMPLETED, reason)


def fail(session: Session, run: RunLease, reason: str) -> None:
    """End the run as failed; what it wrote stays, and nothing is deleted."""
    _end(session, run, RunState.FAILED, reason)


def _end(session: Session, run: RunLease, state: RunState, reason: str) -> None:
    session.execute(
        END,
        {
            "id": run.id,
            "token": run.token,
            "state": state.value,
            "reason": reason[:500],
            "outcomes": msgspec.json.encode(run.outcomes).decode(),
        },
    )


YIELD = text("""
update tds_sync_runs set lease_token = null, leased_until = null, attempts = attempts + :counted,
    failures = failures + :failed, failed_at = case when :failed = 1 then clock_timestamp() else failed_at end,
    waits_for = nullif(:waits_for, ''), next_attempt_at = now() + make_interval(secs => :delay),
    end_reason = case when cancel_requested_at is null then :reason else end_reason end,
    state = case when cancel_requested_at is null then state else 'cancelled' end,
    ended_at = case when cancel_requested_at is not null then clock_timestamp() end
where id = :id and lease_token = :token
""")


def yield_run(
    session: Session,
    run: RunLease,
    *,
    delay_seconds: float = 0.0,
    counted: bool = False,
    failed: bool = False,
    waits_for: str = "",
    reason: str = "",
) -> None:
    """Release the run, due again after `delay_seconds`.

    `failed`: fetching its page failed; `counted`: that counts as an attempt. `waits_for`: the circuit breaker whose
    closing ends the wait sooner.
    """
    params = {
        "id": run.id,
        "token": run.token,
        "delay": delay_seconds,
        "counted": int(counted),
        "failed": int(failed),
        "waits_for": waits_for,
        "reason": reason[:500] or None,
    }
    session.execute(YIELD, params)


FAILED_SECONDS = text(
    "select extract(epoch from clock_timestamp() - failed_at)::float8 from tds_sync_runs where id = :id"
)


def failure_history(session: Session, run: RunLease) -> FailureHistory:
    """The earlier failures of the page that has just failed."""
    failed_seconds = session.execute(FAILED_SECONDS, {"id": run.id}).scalar()
    return FailureHistory(attempts=run.attempts + 1, failures=run.failures, failed_seconds=failed_seconds)


CANCEL = text("""
with decided as (
    update tds_run_holds set decision = 'cancelled', decided_by = :by, decided_at = now()
    where run_id = :id and decided_at is null
)
update tds_sync_runs set cancel_requested_at = now(),
    state = case when lease_token is null then 'cancelled' else state end,
    ended_at = case when lease_token is null then now() end, end_reason = 'cancelled by ' || :by
where id = :id and state in ('queued', 'running', 'held') returning id
""")

CANCELLED = text("""
update tds_sync_runs set state = 'cancelled', ended_at = now(), lease_token = null, leased_until = null
where id = :id and lease_token = :token and cancel_requested_at is not null
""")


def cancel(session: Session, run_id: int, *, by: str) -> bool:
    """Stop a run before its next page. False when it has ended already."""
    return session.execute(CANCEL, {"id": run_id, "by": by}).scalar() is not None


def finish_cancelled(session: Session, run: RunLease) -> None:
    """End a run whose cancellation its worker has noticed."""
    session.execute(CANCELLED, {"id": run.id, "token": run.token})
