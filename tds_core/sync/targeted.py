"""Targeted runs: given records go through the queue, before bulk; the run watches until all have ended."""

from collections import Counter
from collections.abc import Sequence

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.reading import targets
from tds_core.sync import queue, runs
from tds_core.sync.candidate import FORCED
from tds_core.sync.runs import RunLease
from tds_models.entities import ENTITIES
from tds_models.runs import Mode

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
    """Owe each of these records a reading, before what lists found. Returns the id of the run that watches them.

    `forced`: what is read is taken, whatever its time of change says.
    """
    ids = list(dict.fromkeys(source_ids))
    given = runs.request_of(
        entity,
        Mode.TARGETED,
        requested_by=requested_by,
        correlation_id=correlation_id,
        asked={"ids": ids, "after": targets.attempts_mark(session), "forced": forced},
        expected_count=len(ids),
    )
    run_id = int(session.execute(runs.REQUEST, given).scalar_one())
    origin = FORCED if forced else "operator"
    queue.enqueue(session, entity=entity, source_ids=ids, origin=origin, correlation_id=given["correlation_id"])
    return run_id


LOOKED = text("""
update tds_sync_runs set fetched_count = :ended, outcomes = cast(:outcomes as jsonb)
where id = :id and lease_token = :token returning extract(epoch from clock_timestamp() - started_at)::float8
""")


def look(session: Session, run: RunLease) -> bool:
    """See how far the run's records are. True: all have ended, and so has the run; otherwise it looks again later."""
    found = targets.outcomes(
        session,
        source=ENTITIES[run.entity].stream.source,
        entity=run.entity,
        source_ids=run.asked["ids"],
        after=run.asked["after"],
    )
    run.outcomes = Counter(row["outcome"] or "unknown" for row in found if not row["is_owed"])
    ended = run.outcomes.total()
    given = {
        "id": run.id,
        "token": run.token,
        "ended": ended,
        "outcomes": msgspec.json.encode(run.outcomes).decode(),
    }
    age_seconds = session.execute(LOOKED, given).scalar() or 0.0
    if ended < len(found):
        rest = min(MOST_REST_SECONDS, max(LEAST_REST_SECONDS, age_seconds * REST_PART))
        runs.yield_run(session, run, delay_seconds=rest)
        return False
    given_up = run.outcomes["dead"]
    runs.complete(session, run, f"all {ended} records were read" if not given_up else f"{given_up} were given up")
    return True
