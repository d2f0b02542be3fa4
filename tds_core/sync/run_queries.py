"""Queries of runs: who requested them, their progress, what they wait for and how they ended."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from tds_core.errors import NotFoundError
from tds_core.pagination import Page, Row, read_page
from tds_core.sources.missing_permissions import access_refusal
from tds_models.runs import OPEN, Mode, Run, RunHold, RunState

_HIDDEN = ("lease_token", "position", "asked", "report")
_GOING = (RunState.QUEUED, RunState.RUNNING)
_PASSES = (Mode.FULL, Mode.INCREMENTAL)


def _blocking_run_id() -> ColumnElement[int]:
    """The pass over the same stream that goes first."""
    run, other = Run.__table__, Run.__table__.alias("other")
    goes_first = (
        run.c.state == RunState.QUEUED,
        run.c.mode.in_(_PASSES),
        other.c.mode.in_(_PASSES),
        other.c.state.in_(OPEN),
        other.c.source == run.c.source,
        other.c.entity == run.c.entity,
        other.c.id < run.c.id,
    )
    return select(func.min(other.c.id)).where(*goes_first).correlate(run).scalar_subquery()


_RUN = [
    *(column for column in Run.__table__.columns if column.key not in _HIDDEN),
    _blocking_run_id().label("behind_id"),
    func.clock_timestamp().label("now"),
]


def runs(
    session: Session,
    *,
    cursor: str | None = None,
    limit: int = 50,
    entity: str | None = None,
    state: str | None = None,
    mode: str | None = None,
    since: datetime | None = None,
) -> Page:
    """Runs, the newest first; `since` bounds when they were requested."""
    statement = select(*_RUN)
    for key, value in (("entity", entity), ("state", state), ("mode", mode)):
        if value is not None:
            statement = statement.where(Run.__table__.c[key] == value)
    if since is not None:
        statement = statement.where(Run.requested_at >= since)
    page = read_page(session, statement, keys=[Run.__table__.c.id], cursor=cursor, limit=limit)
    return Page([_timed(row) for row in page.items], page.next_cursor)


def run(session: Session, run_id: int) -> Row:
    """One run, with what held it, the newest first, and what a dry run found. `refused`: why it waits
    until somebody gives access, None where it goes on. Raises NotFoundError."""
    found = session.execute(select(*_RUN, Run.report, Run.asked).where(Run.id == run_id)).mappings().first()
    if found is None:
        raise NotFoundError(f"There is no run {run_id}.")
    holds = select(*RunHold.__table__.columns).where(RunHold.run_id == run_id).order_by(RunHold.id.desc())
    row = dict(found)
    asked = row.pop("asked")
    refused = access_refusal(session, row["entity"], asked.get("ids", [])) if row["state"] in _GOING else None
    return {**_timed(row), "refused": refused, "holds": [dict(row) for row in session.execute(holds).mappings()]}


def _timed(row: Row) -> Row:
    """The run with its duration, and while it runs with the moment at which it ends if it goes on like this.

    A targeted run leaves the calls to the queue, where they are made for many at once: nobody counts them for it.
    """
    now: datetime = row.pop("now")
    began, ended = row["started_at"], row["ended_at"]
    row["duration_seconds"] = ((ended or now) - began).total_seconds() if began else None
    row["ends_at"] = _end(row, now) if row["state"] == RunState.RUNNING else None
    if row["mode"] == Mode.TARGETED:
        row["api_call_count"] = None
    return row


def _end(row: Row, now: datetime) -> datetime | None:
    done, expected = row["fetched_count"], row["expected_count"]
    if not done or not expected:
        return None
    left: Any = max(0, expected - done) / done
    return now + timedelta(seconds=row["duration_seconds"] * left)
