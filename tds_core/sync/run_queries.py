"""Queries of runs: who requested them, their progress, what they wait for and how they ended."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict, cast

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from tds_core.errors import NotFoundError
from tds_core.pagination import Page, read_page
from tds_core.sources.missing_permissions import access_refusal
from tds_models.runs import OPEN, Mode, Run, RunHold, RunState


class RunRow(TypedDict):
    """A run and its progress. `behind_id`: the run of its stream that goes first; `waits_for`: an open breaker.

    `outcomes`: records by outcome; `expected_count`: how many the mirror knew when it began; `ends_at`: when it ends at
    the present pace, None unless it is running; `api_call_count`: None for a targeted run, whose records the queue
    reads.
    """

    id: int
    source: str
    entity: str
    mode: str
    state: str
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    end_reason: str | None
    next_attempt_at: datetime
    attempts: int
    failures: int
    failed_at: datetime | None
    waits_for: str | None
    page_count: int
    api_call_count: int | None
    fetched_count: int
    skipped_count: int
    expected_count: int | None
    outcomes: dict[str, int]
    changed_count: int
    cancel_requested_at: datetime | None
    leased_by: str | None
    leased_until: datetime | None
    correlation_id: str
    behind_id: int | None
    duration_seconds: float | None
    ends_at: datetime | None


class HoldRow(TypedDict):
    """A hold of a run. `kind`: change or deletion; `preview`: as of `MassChange`.

    `decision`: approved, rejected or cancelled, None while it is open; `approved_count`: records it may come to.
    """

    id: int
    run_id: int
    kind: str
    reason: str
    record_count: int
    preview: dict[str, Any]
    held_at: datetime
    decision: str | None
    decided_by: str | None
    decided_at: datetime | None
    approved_count: int | None


class RunDetails(RunRow):
    """A run with its holds, the newest first. `report`: what a dry run found, examples by outcome.

    `refused`: the refusal for which it waits until access is granted; None while it goes on.
    """

    report: dict[str, Any] | None
    refused: str | None
    holds: list[HoldRow]


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
) -> Page[RunRow]:
    """Runs, the newest first; `since` bounds when they were requested."""
    statement = select(*_RUN)
    for key, value in (("entity", entity), ("state", state), ("mode", mode)):
        if value is not None:
            statement = statement.where(Run.__table__.c[key] == value)
    if since is not None:
        statement = statement.where(Run.requested_at >= since)
    page = read_page(session, statement, keys=[Run.__table__.c.id], cursor=cursor, limit=limit)
    return Page([_timed(row) for row in page.items], page.next_cursor)


def run(session: Session, run_id: int) -> RunDetails:
    """One run with its holds and report. Raises NotFoundError."""
    mapping = session.execute(select(*_RUN, Run.report, Run.asked).where(Run.id == run_id)).mappings().first()
    if mapping is None:
        raise NotFoundError(f"There is no run {run_id}.")
    holds = select(*RunHold.__table__.columns).where(RunHold.run_id == run_id).order_by(RunHold.id.desc())
    row = dict(mapping)
    asked = row.pop("asked")
    refused = access_refusal(session, row["entity"], asked.get("ids", [])) if row["state"] in _GOING else None
    hold_rows = [dict(hold) for hold in session.execute(holds).mappings()]
    return cast("RunDetails", {**_timed(row), "refused": refused, "holds": hold_rows})


def _timed(row: dict[str, Any]) -> RunRow:
    """The run with its duration, and while it runs with the moment at which it ends if it goes on like this.

    A targeted run leaves the calls to the queue, where they are made for many at once: nobody counts them for it.
    """
    now: datetime = row.pop("now")
    began, ended = row["started_at"], row["ended_at"]
    row["duration_seconds"] = ((ended or now) - began).total_seconds() if began else None
    row["ends_at"] = _end(row, now) if row["state"] == RunState.RUNNING else None
    if row["mode"] == Mode.TARGETED:
        row["api_call_count"] = None
    return cast("RunRow", row)


def _end(row: Mapping[str, Any], now: datetime) -> datetime | None:
    done, expected = row["fetched_count"], row["expected_count"]
    if not done or not expected:
        return None
    left: Any = max(0, expected - done) / done
    return now + timedelta(seconds=row["duration_seconds"] * left)
