"""Missing workers: those that ended without being stopped, and that no later worker replaced."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

#: The rows of a week: more only where workers are started again every few minutes.
MOST_WORKERS = 500
#: A worker that is gone for less may be about to be started again.
GONE_SECONDS = 60.0

# An earlier worker may have had the process id of a later one, whose row then took the place of its own.
_RECENT = text("""
select name, started_at, least(alive_at, deaf_at) as seen_at, busy_count < slot_count as is_free,
    extract(epoch from clock_timestamp() - least(alive_at, deaf_at))::float8 as silent_seconds,
    ended_at is null and deaf_at is null and alive_at > now() - interval '30 seconds' as is_living,
    coalesce(end_reason = 'stopped', false) as is_stopped
from tds_listeners where ended_at is null or ended_at > now() - interval '7 days'
order by started_at desc limit :most
""")


class RecentWorker(TypedDict):
    """A worker of the last week. `seen_at`: when it last reported that it consumes, `silent_seconds` ago.

    `is_free`: one of its slots was. `is_stopped`: it ended because it was told to.
    """

    name: str
    started_at: datetime
    seen_at: datetime
    silent_seconds: float
    is_free: bool
    is_living: bool
    is_stopped: bool


def recent_workers(session: Session) -> list[RecentWorker]:
    """The workers that have not ended, or ended within a week, the newest first."""
    rows = session.execute(_RECENT, {"most": MOST_WORKERS}).mappings()
    return cast("list[RecentWorker]", [dict(row) for row in rows])


def missing_workers(workers: Sequence[RecentWorker]) -> list[RecentWorker]:
    """The workers that are gone without having been stopped and were not replaced, the one longest gone first.

    Each worker that began later replaces one. Where none is left of those that ran beside it, all were started anew,
    perhaps fewer than before, and it is not missed.
    """
    living = [worker["started_at"] for worker in workers if worker["is_living"]]
    successors = sorted(worker["started_at"] for worker in workers)
    gone = [worker for worker in workers if not worker["is_living"] and not worker["is_stopped"]]
    missing = []
    for worker in sorted(gone, key=lambda worker: worker["seen_at"]):
        if living and min(living) > worker["seen_at"]:
            continue
        successor = next((each for each in successors if each > worker["seen_at"]), None)
        if successor is not None:
            successors.remove(successor)
        elif worker["silent_seconds"] > GONE_SECONDS:
            missing.append(worker)
    return missing
