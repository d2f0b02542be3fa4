"""Queries of comparisons: progress, reports, differences, and the newest report of each entity."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from tds_core.comparison.reports import Grades
from tds_core.comparison.suspect_store import SETTLES
from tds_core.errors import NotFoundError
from tds_core.pagination import Page, read_page
from tds_models.comparison import Comparison, ComparisonDifference, DifferenceState
from tds_models.entities import ENTITIES


class PartStatus(TypedDict):
    """The part of a comparison about one entity: its report, or while it runs how far it is.

    `read_count` of about `expected_count` records have been compared; `waits_until` and `waits_for`: why it rests.
    `is_put_off`: it rests because a quota, an outage or a refusal stands in the way, not to let changes settle.
    """

    entity: str
    state: str
    agreement: str | None
    reason: str | None
    here_count: int | None
    there_count: int | None
    equal_count: int
    different_count: int
    missing_here_count: int
    missing_there_count: int
    suspect_count: int
    match_percent: Decimal | None
    score: Decimal | None
    grades: Grades
    root_here: str | None
    root_there: str | None
    detail_count: int
    api_call_count: int
    run_id: int
    follows_run_id: int | None
    read_count: int
    expected_count: int | None
    waits_until: datetime | None
    waits_for: str | None
    is_put_off: bool
    began_at: datetime | None
    ended_at: datetime | None


class ComparisonStatus(TypedDict):
    """A comparison with its parts. `statement`: the number of the statement it made, None without one."""

    id: int
    source: str
    state: str
    agreement: str | None
    score: Decimal | None
    requested_by: str
    requested_at: datetime
    ended_at: datetime | None
    sample_size: int
    seed: int
    difference_count: int
    api_call_count: int
    statement: int | None
    parts: list[PartStatus]


class ComparisonRow(TypedDict):
    """A comparison without its parts. `agreement`: equal, differs or unproven; `seed`: of the random sample."""

    id: int
    source: str
    requested_by: str
    requested_at: datetime
    ended_at: datetime | None
    state: str
    agreement: str | None
    score: Decimal | None
    seed: int
    sample_size: int


class FieldDifference(TypedDict):
    """A field, or lines, with what each side has."""

    field: str
    here: Any
    there: Any


class DifferenceRow(TypedDict):
    """A record that differs. `since`: when the two sides parted, if known; `suspected_for`: what made it a suspect."""

    id: int
    comparison_id: int
    entity: str
    source_id: str
    kind: str
    state: str
    fields: list[FieldDifference]
    cause: str | None
    explanation: str | None
    since: datetime | None
    suspected_for: str | None
    found_at: datetime
    decided_at: datetime | None


_OWN = (
    "id", "source", "state", "agreement", "score", "requested_by", "requested_at", "ended_at", "sample_size", "seed",
)  # fmt: skip
# While its run goes on, a part's calls and doubts are the run's. One statement, so that all is of one moment.
_PARTS = text(f"""
select {", ".join(f"c.{name} as c_{name}" for name in _OWN)},
       (select number from tds_statements s where s.comparison_id = c.id) as c_statement,
       p.entity, p.state, p.agreement, p.reason, p.here_count, p.there_count, p.equal_count, p.different_count,
       p.missing_here_count, p.missing_there_count,
       case when p.state = 'running' then coalesce(d.suspects, 0) else p.suspect_count end as suspect_count,
       p.match_percent, p.score, p.grades, encode(p.root_here, 'hex') as root_here,
       encode(p.root_there, 'hex') as root_there,
       p.detail_count, case when p.state = 'running' then r.api_call_count else p.api_call_count end as api_call_count,
       p.run_id, p.follows_run_id, r.fetched_count as read_count,
       coalesce(r.expected_count, (select expected_count from tds_sync_runs f where f.id = p.follows_run_id))
           as expected_count,
       case when p.state = 'running' and r.next_attempt_at > now() + interval '2 seconds' then r.next_attempt_at end
           as waits_until,
       case when p.state = 'running' and r.next_attempt_at > now() then r.end_reason end as waits_for,
       p.state = 'running' and r.next_attempt_at > now() + interval '2 seconds'
           and r.end_reason is distinct from :settles as is_put_off,
       coalesce(p.began_at, r.started_at) as began_at, p.ended_at
from tds_comparison_reports p join tds_comparisons c on c.id = p.comparison_id join tds_sync_runs r on r.id = p.run_id
left join lateral (select count(*) as suspects from tds_comparison_differences x
    where x.comparison_id = p.comparison_id and x.entity = p.entity and x.state = 'suspect') d on p.state = 'running'
where p.comparison_id = coalesce(:id, (select max(id) from tds_comparisons))
""")


def comparison(session: Session, comparison_id: int | None = None) -> ComparisonStatus:
    """One comparison; None: the newest. Raises NotFoundError."""
    rows = session.execute(_PARTS, {"id": comparison_id, "settles": SETTLES}).mappings().all()
    if not rows:
        named = "Nothing was compared yet" if comparison_id is None else f"There is no comparison {comparison_id}"
        raise NotFoundError(f"{named}: tds compare compares the mirror with its source.")
    own = {name: rows[0][f"c_{name}"] for name in (*_OWN, "statement")}
    found = ({name: value for name, value in row.items() if not name.startswith("c_")} for row in rows)
    order = list(ENTITIES)
    return _status(own, sorted(found, key=lambda part: order.index(part["entity"])))


def _status(row: Mapping[str, Any], parts: list[Any]) -> ComparisonStatus:
    status: Any = {
        **row,
        "difference_count": sum(part[name] for part in parts for name in _DIFFERENCE_COUNTS),
        "api_call_count": sum(part["api_call_count"] for part in parts),
        "parts": parts,
    }
    result: ComparisonStatus = status
    return result


_DIFFERENCE_COUNTS = ("different_count", "missing_here_count", "missing_there_count")


def of_entity(status: ComparisonStatus, entity: str) -> ComparisonStatus:
    """A comparison as far as it is about one entity: state, agreement and counts are those of its part."""
    parts = [part for part in status["parts"] if part["entity"] == entity]
    if not parts:
        raise NotFoundError(f"Comparison {status['id']} is not about {entity}: tds compare {entity}")
    own = {name: parts[0][name] for name in ("state", "agreement", "score", "ended_at")}
    return _status({**status, **own}, parts)


_NEWEST = text("""
select max(p.comparison_id) from tds_comparison_reports p join tds_comparisons c on c.id = p.comparison_id
where (cast(:entity as text) is null or p.entity = :entity) and (not :has_ended or c.state <> 'running')
""")


def newest_id(session: Session, *, entity: str | None = None, has_ended: bool = False) -> int:
    """The newest comparison: of all, or of those that compare `entity`, or that have ended. Raises NotFoundError."""
    found = session.execute(_NEWEST, {"entity": entity, "has_ended": has_ended}).scalar()
    if found is None:
        command = f"tds compare {entity}" if entity else "tds compare"
        raise NotFoundError(f"{entity or 'Nothing'} was {'never' if entity else 'not yet'} compared: {command}")
    return int(found)


def comparisons(session: Session, *, cursor: str | None = None, limit: int = 50) -> Page[ComparisonRow]:
    """Comparisons, the newest first, without their parts."""
    table = Comparison.__table__
    columns = [column for column in table.columns if column.key != "correlation_id"]
    return read_page(session, select(*columns), keys=[table.c.id], cursor=cursor, limit=limit)


_HIDDEN = ("list_hash", "hash_here", "hash_there", "recheck_at", "check_count")


def differences(
    session: Session,
    comparison_id: int,
    *,
    entity: str | None = None,
    state: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[DifferenceRow]:
    """The records of a comparison that differ (confirmed), may differ (suspect), or did (repaired)."""
    table = ComparisonDifference.__table__
    statement = select(*(column for column in table.columns if column.key not in _HIDDEN)).where(
        table.c.comparison_id == comparison_id
    )
    for key, value in (("entity", entity), ("state", state)):
        if value is not None:
            statement = statement.where(table.c[key] == value)
    page = read_page(session, statement, keys=[table.c.id], cursor=cursor, limit=limit, newest_first=False)
    rows: list[Any] = [{**row, "fields": _field_differences(row["fields"])} for row in page.items]
    return Page(rows, page.next_cursor)


def _field_differences(fields: Any) -> list[FieldDifference]:
    """What differs, as stored by field (a suspect has none yet), field by field."""
    pairs = fields.items() if isinstance(fields, dict) else ()
    return [{"field": name, "here": here, "there": there} for name, (here, there) in pairs]


class LatestReport(TypedDict):
    """The newest report of an entity that ended well. `difference_count`: `different_count` and what a side lacks."""

    entity: str
    comparison_id: int
    agreement: str
    reason: str | None
    here_count: int
    there_count: int
    different_count: int
    difference_count: int
    suspect_count: int
    match_percent: Decimal
    score: Decimal
    ended_at: datetime


_LATEST = text("""
select distinct on (entity) entity, comparison_id, agreement, reason, here_count, there_count, different_count,
       different_count + missing_here_count + missing_there_count as difference_count, suspect_count, match_percent,
       score, ended_at
from tds_comparison_reports where state = 'completed' order by entity, comparison_id desc
""")


def latest_reports(session: Session) -> dict[str, LatestReport]:
    """By entity, its newest report; entities that were never compared are left out."""
    rows: list[Any] = [dict(row) for row in session.execute(_LATEST).mappings()]
    return {row["entity"]: row for row in rows}


def confirmed_count(session: Session, comparison_id: int) -> int:
    """How many differences of a comparison still stand."""
    table = ComparisonDifference.__table__
    statement = select(func.count()).where(
        table.c.comparison_id == comparison_id, table.c.state == DifferenceState.CONFIRMED
    )
    return int(session.execute(statement).scalar_one())


# An entity of which nothing was proven counts from the end of its first full pass on.
_PROOF_AGES = text("""
select e.entity, extract(epoch from clock_timestamp() - coalesce(
    (select max(p.ended_at) from tds_comparison_reports p
        where p.entity = e.entity and p.state = 'completed' and p.agreement in ('equal', 'differs')),
    (select min(r.ended_at) from tds_sync_runs r
        where r.entity = e.entity and r.mode = 'full' and r.state = 'completed')))::float8 as seconds
from unnest(cast(:entities as text[])) as e(entity)
""")


def proof_ages(session: Session) -> dict[str, float]:
    """By entity, for how many seconds no comparison has left nothing of it unproven; entities without a row are out."""
    rows = session.execute(_PROOF_AGES, {"entities": list(ENTITIES)})
    return {row.entity: row.seconds for row in rows if row.seconds is not None}
