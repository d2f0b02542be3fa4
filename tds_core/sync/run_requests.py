"""Run requests of the API and the command line, for a run of any mode.

A targeted run enqueues given records before bulk work and follows them until every one has ended.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict, cast

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import TdsError
from tds_core.queue import items
from tds_core.records.transform import FORCED
from tds_core.sync import runs
from tds_core.sync.runs import RunLease, request_dry_run, request_run
from tds_models.entities import ENTITIES
from tds_models.runs import Mode


class RecordOutcome(TypedDict):
    """How the latest attempt at a record ended; None without one. `is_owed`: it is still enqueued."""

    source_id: str
    is_owed: bool
    outcome: str | None
    error_class: str | None
    error: str | None
    ended_at: datetime | None


_OUTCOMES = text("""
select asked.id as source_id,
       exists (select from tds_sync_queue q
               where q.source = :source and q.entity = :entity and q.source_id = asked.id) as is_owed,
       last.outcome, last.error_class, last.error, last.ended_at
from unnest(cast(:ids as text[])) with ordinality as asked(id, place)
left join lateral (
    select outcome, error_class, error, ended_at from tds_sync_logs l
    where l.source = :source and l.entity = :entity and l.source_id = asked.id and l.id > :after
    order by l.id desc limit 1
) last on true
order by asked.place
""")
_ASKED = text("select source, entity, asked from tds_sync_runs where id = :run")
_MARK = text("select coalesce(max(id), 0) from tds_sync_logs")


def latest_attempt_id(session: Session) -> int:
    """The newest id in the attempts log; attempts that end later have higher ids."""
    return int(session.execute(_MARK).scalar_one())


def outcomes(
    session: Session, *, source: str, entity: str, source_ids: Sequence[str], after: int
) -> list[RecordOutcome]:
    """For each record: whether it is still enqueued, and how its latest attempt after `after` ended."""
    params = {"source": source, "entity": entity, "ids": list(source_ids), "after": after}
    return cast("list[RecordOutcome]", [dict(row) for row in session.execute(_OUTCOMES, params).mappings()])


def run_outcomes(session: Session, run_id: int) -> list[RecordOutcome]:
    """The same for the records of a targeted run."""
    run = session.execute(_ASKED, {"run": run_id}).one()
    return outcomes(
        session, source=run.source, entity=run.entity, source_ids=run.asked["ids"], after=run.asked["after"]
    )


# A run that waits long (for a quota, say) looks less and less often.
LEAST_REST_SECONDS, MOST_REST_SECONDS, REST_PART = 0.5, 15.0, 0.1


def request_records(
    session: Session,
    *,
    entity: str,
    source_ids: Sequence[str],
    requested_by: str,
    correlation_id: str = "",
    forced: bool = False,
) -> int:
    """Enqueue records to be read before bulk work. Returns the id of the targeted run that follows them.

    `forced`: what is read is applied whatever its time of change.
    """
    ids = list(dict.fromkeys(source_ids))
    params = runs.run_params(
        entity,
        Mode.TARGETED,
        requested_by=requested_by,
        correlation_id=correlation_id,
        asked={"ids": ids, "after": latest_attempt_id(session), "forced": forced},
        expected_count=len(ids),
    )
    run_id = int(session.execute(runs.REQUEST, params).scalar_one())
    origin = FORCED if forced else "operator"
    items.enqueue(session, entity=entity, source_ids=ids, origin=origin, correlation_id=params["correlation_id"])
    return run_id


LOOKED = text("""
update tds_sync_runs set fetched_count = :ended, outcomes = cast(:outcomes as jsonb)
where id = :id and lease_token = :token returning extract(epoch from clock_timestamp() - started_at)::float8
""")


def record_outcomes(session: Session, run: RunLease) -> bool:
    """Record the outcomes of a targeted run's records. Returns whether all, and so the run, have ended."""
    rows = outcomes(
        session,
        source=ENTITIES[run.entity].stream.source,
        entity=run.entity,
        source_ids=run.asked["ids"],
        after=run.asked["after"],
    )
    run.outcomes = Counter(row["outcome"] or "unknown" for row in rows if not row["is_owed"])
    ended = run.outcomes.total()
    params = {
        "id": run.id,
        "token": run.token,
        "ended": ended,
        "outcomes": msgspec.json.encode(run.outcomes).decode(),
    }
    age_seconds = session.execute(LOOKED, params).scalar() or 0.0
    if ended < len(rows):
        delay = min(MOST_REST_SECONDS, max(LEAST_REST_SECONDS, age_seconds * REST_PART))
        runs.yield_run(session, run, delay_seconds=delay)
        return False
    given_up = run.outcomes["dead"]
    runs.complete(session, run, f"all {ended} records were read" if not given_up else f"{given_up} were given up")
    return True


class InvalidRequestError(TdsError):
    """The arguments of a run request contradict each other."""

    code = "invalid_arguments"


def request_sync(
    session: Session,
    *,
    entity: str,
    mode: str,
    requested_by: str,
    ids: Sequence[str] = (),
    full: bool = False,
    force: bool = False,
    correlation_id: str = "",
) -> int:
    """Request a run; `ids` belong to targeted ones, `full` to dry runs. Returns its id. Raises InvalidRequestError.

    `force`: what is read of the records `ids` is applied whatever its time of change. A pass that is open already is
    not requested twice: the id returned is that of the open one.
    """
    if mode == Mode.COMPARISON:
        raise InvalidRequestError("A comparison is no sync: ask for it with tds compare, or POST /statistics/compare.")
    if (mode == Mode.TARGETED) != bool(ids):
        raise InvalidRequestError("Ids belong to mode targeted, and to no other.")
    if full and mode != Mode.DRY_RUN:
        raise InvalidRequestError("`full` says how a dry run reads; for a full pass ask for mode full.")
    if force and mode != Mode.TARGETED:
        raise InvalidRequestError(
            "`force` has given records read whatever their time says: mode targeted, and its ids."
        )
    params = {"entity": entity, "requested_by": requested_by, "correlation_id": correlation_id}
    if mode == Mode.TARGETED:
        return request_records(session, source_ids=ids, forced=force, **params)
    if mode == Mode.DRY_RUN:
        return request_dry_run(session, full=full, **params)
    return request_run(session, mode=mode, **params)
