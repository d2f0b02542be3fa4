"""How many records the source has of each entity, as it was last seen: by a comparison, or by a full sync."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypedDict

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.comparison import queries
from tds_core.comparison.queries import LatestReport
from tds_models.entities import ENTITIES

# Full runs in a state of their own: the last that ended well, and the last of all.
_FULL_RUNS = text("""
select e.entity, done.id, done.fetched_count, done.ended_at, last.state as last_state, last.end_reason
from unnest(cast(:entities as text[])) as e(entity)
left join lateral (
    select id, fetched_count, ended_at from tds_sync_runs r
    where r.entity = e.entity and mode = 'full' and state = 'completed' order by requested_at desc limit 1
) as done on true
left join lateral (
    select state, end_reason from tds_sync_runs r where r.entity = e.entity and mode = 'full'
    order by requested_at desc limit 1
) as last on true
""")


class SourceReport(TypedDict):
    """What the source was last seen to have of an entity.

    `there_count` is None where nothing was seen, and `reason` says why. `here_count`, `match_percent`, `score`,
    `agreement` (equal, differs or unproven) and `compared_at` are those of the last comparison, None before the first.
    """

    entity: str
    seen_by: Literal["comparison", "full sync"] | None
    seen_at: datetime | None
    there_count: int | None
    here_count: int | None
    match_percent: Decimal | None
    score: Decimal | None
    agreement: str | None
    compared_at: datetime | None
    reason: str | None


def latest_reports(session: Session, entities: Iterable[str] = ENTITIES) -> dict[str, SourceReport]:
    """By entity the last comparison, or where there is none, or it counted nothing, the last full sync."""
    params = {"entities": list(entities)}
    found: dict[str, SourceReport] = {}
    for row in session.execute(_FULL_RUNS, params):
        counted = row.id is not None
        found[row.entity] = SourceReport(
            entity=row.entity, seen_by="full sync" if counted else None, seen_at=row.ended_at,
            there_count=row.fetched_count, here_count=None, match_percent=None, score=None, agreement=None,
            compared_at=None,
            reason=None if counted else _reason(row.entity, row.last_state, row.end_reason),
        )  # fmt: skip
    for name, compared in queries.latest_reports(session).items():
        if name in found:
            _add_comparison(found[name], compared)
    return found


def _add_comparison(report: SourceReport, compared: LatestReport) -> None:
    """Put a comparison into the report; a count of a later full sync stays."""
    report["here_count"], report["agreement"] = compared["here_count"], compared["agreement"]
    report["match_percent"], report["score"] = compared["match_percent"], compared["score"]
    report["compared_at"] = compared["ended_at"]
    if report["seen_at"] is None or compared["ended_at"] >= report["seen_at"]:
        report["there_count"], report["reason"] = compared["there_count"], None
        report["seen_by"], report["seen_at"] = "comparison", compared["ended_at"]


def _reason(entity: str, last_state: str | None, end_reason: str | None) -> str:
    """Why the source's count of an entity is not known."""
    ask = f"tds sync {entity} --mode full"
    if last_state is None:
        return f"no full sync was made yet: {ask}"
    if last_state in ("failed", "cancelled", "rejected"):
        ended = "failed" if last_state == "failed" else f"was {last_state}"
        return f"the last full sync {ended}{f': {end_reason}' if end_reason else ''}; ask again: {ask}"
    return f"the first full sync is {last_state}: tds runs"
