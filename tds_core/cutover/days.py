"""Days: the stored results of comparisons with the old tables, and whether they allow the promotion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tds_core.cutover.mapping import CutoverMapping
from tds_core.pagination import Page, read_page
from tds_models.cutover import CutoverDay

#: Days in a row on which TDS was never wrong, before it may take the old tables' place.
DAYS_BEFORE_PROMOTION = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class DayResult:
    """What one comparison with the old table of an entity found; see the columns of `tds_cutover_days`."""

    id: int
    day: date
    entity: str
    mapping_digest: str
    requested_by: str
    started_at: datetime
    ended_at: datetime | None
    old_count: int
    here_count: int
    equal_count: int
    duplicate_count: int
    unkeyed_count: int
    different_count: int
    missing_old_count: int
    missing_here_count: int
    old_wrong_count: int
    tds_wrong_count: int
    both_wrong_count: int
    changed_meanwhile_count: int
    not_asked_count: int
    field_counts: Mapping[str, int]
    call_count: int

    @property
    def is_tds_wrong(self) -> bool:
        """Whether TDS was wrong about any record, alone or together with the old table."""
        return self.tds_wrong_count + self.both_wrong_count > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityReadiness:
    """How an entity stands: its clean days in a row, and why it may not be promoted yet.

    A clean day has comparisons, none of them found TDS wrong, and after the last of them every difference was judged.
    """

    entity: str
    clean_day_count: int
    newest: DayResult | None
    problems: Sequence[str]


_RESULT = text("select * from tds_cutover_days where id = :id")
_SINCE = text("""
select * from tds_cutover_days where entity = :entity and day > :since and day <= :today and ended_at is not null
order by id desc
""")
_COMPARED = text("select distinct entity from tds_cutover_days order by 1")
_DIFFERENCES = text("""
select source_id, kind, fields, verdict, judged_at from tds_cutover_differences
where entity = :entity and source_id > :after and (cast(:verdict as text) is null or verdict = :verdict)
order by source_id limit :limit
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDifference:
    """A record that differed in the newest comparison, and who is right."""

    source_id: str
    kind: str
    fields: Sequence[str]
    verdict: str
    judged_at: datetime | None


def day_result(session: Session, day_id: int) -> DayResult:
    """One stored result."""
    return DayResult(**session.execute(_RESULT, {"id": day_id}).mappings().one())


def day_results(
    session: Session, *, cursor: str | None = None, limit: int = 50, entity: str | None = None
) -> Page[DayResult]:
    """A page of the stored results, the newest first. Raises InvalidCursorError."""
    columns = CutoverDay.__table__.c
    statement = select(*columns)
    if entity:
        statement = statement.where(columns.entity == entity)
    found = read_page(session, statement, keys=[columns.id], cursor=cursor, limit=limit)
    return Page([DayResult(**row) for row in found.items], found.next_cursor)


def stored_differences(
    session: Session, entity: str, *, verdict: str | None = None, after: str = "", limit: int = 20
) -> list[StoredDifference]:
    """The records that differed in the newest comparison of an entity, in the order of their ids."""
    params = {"entity": entity, "verdict": verdict, "after": after, "limit": limit}
    return [StoredDifference(**row) for row in session.execute(_DIFFERENCES, params).mappings()]


def readiness(
    session: Session, mapping: CutoverMapping, *, today: date, days: int = DAYS_BEFORE_PROMOTION
) -> list[EntityReadiness]:
    """How each mapped entity stands: `days` in a row up to today or yesterday must have found TDS never wrong."""
    return [_entity_readiness(session, name, mapping.digest, today=today, days=days) for name in mapping.entities]


def readiness_of_compared(session: Session, *, today: date, days: int = DAYS_BEFORE_PROMOTION) -> list[EntityReadiness]:
    """How each entity stands that was ever compared; whether a mapping changed only its file tells."""
    names = session.execute(_COMPARED).scalars()
    return [_entity_readiness(session, name, None, today=today, days=days) for name in names]


def _entity_readiness(session: Session, name: str, digest: str | None, *, today: date, days: int) -> EntityReadiness:
    params = {"entity": name, "since": today - timedelta(days=max(days, 31) + 1), "today": today}
    results = [DayResult(**row) for row in session.execute(_SINCE, params).mappings()]
    newest = results[0] if results else None
    clean, ended_by = _clean_days(results, today)
    problems = []
    if newest is None:
        problems.append("it was never compared")
    else:
        if newest.is_tds_wrong:
            problems.append(f"TDS is wrong about {newest.tds_wrong_count + newest.both_wrong_count} records")
        if newest.not_asked_count:
            problems.append(f"of {newest.not_asked_count} differences it is not known who is right: compare with a"
                            " larger --deep")  # fmt: skip
        if digest is not None and newest.mapping_digest != digest:
            problems.append("the mapping changed since its newest comparison")
    if clean < days:
        problems.append(f"{clean} of {days} days in a row without a record that TDS has wrong{ended_by}")
    return EntityReadiness(entity=name, clean_day_count=clean, newest=newest, problems=problems)


def _clean_days(results: Sequence[DayResult], today: date) -> tuple[int, str]:
    """Clean days in a row, back from today, or from yesterday if today has no comparison yet; and what came before."""
    by_day: dict[date, bool] = {}
    for each in results:  # the newest first
        by_day[each.day] = by_day.get(each.day, each.not_asked_count == 0) and not each.is_tds_wrong
    day = today if today in by_day else today - timedelta(days=1)
    count = 0
    while by_day.get(day):
        count, day = count + 1, day - timedelta(days=1)
    if not any(each < day for each in by_day) and day not in by_day:
        return count, ""
    return count, f"; {day} was not clean" if day in by_day else f"; on {day} nothing was compared"
