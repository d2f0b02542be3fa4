"""Comparison with the old tables: stages, compares and judges one entity after the other, and stores the day."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import date

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tds_core.cutover import differences, staging, verdicts
from tds_core.cutover.days import DayResult, day_result
from tds_core.cutover.differences import DifferenceCounts
from tds_core.cutover.mapping import CutoverMapping
from tds_core.cutover.old_tables import OldTable, read_old_tables
from tds_core.cutover.promotion import AlreadyPromotedError, open_promotion
from tds_core.cutover.verdicts import JudgementLimits
from tds_core.errors import AlreadyRunningError
from tds_core.sources.base import Source
from tds_models.db import Lock

log = structlog.get_logger(__name__)

Scope = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonOrder:
    """What is asked of a comparison. `deep`: so many records of each entity are read from the source at most.

    `settle_seconds`: what changed at the source so shortly before may not have reached either side yet.
    """

    day: date
    deep: int
    requested_by: str
    entities: tuple[str, ...] = ()
    settle_seconds: int = 900


@dataclass(frozen=True, slots=True)
class _Databases:
    """Both databases, and the source that knows better."""

    scope: Scope
    old: Engine
    open_source: Callable[[str], Source]


def compare_with_old(
    scope: Scope, old: Engine, mapping: CutoverMapping, order: ComparisonOrder, *, open_source: Callable[[str], Source]
) -> Iterator[DayResult]:
    """Compare the mirror with the old tables, entity by entity; each result is stored before it is yielded.

    `scope`: transactions on one and the same connection. Reads the old tables once each, and writes nothing there.
    Raises MappingError, AlreadyRunningError while another comparison runs, and AlreadyPromotedError once views of the
    mirror have the old names.
    """
    with _alone(scope):
        with scope() as session:
            if open_promotion(session) and not mapping.database_url_from:
                raise AlreadyPromotedError("The old names are views of the mirror now: there is nothing to compare it"
                                           " with. See: tds migrate-from status")  # fmt: skip
        with old.connect() as old_connection:
            tables = read_old_tables(old_connection, mapping)
        databases = _Databases(scope, old, open_source)
        for table in tables:
            name = table.mapped.entity.name
            if not order.entities or name in order.entities:
                yield _compare_entity(databases, table, order, mapping.digest)


@contextmanager
def _alone(scope: Scope) -> Iterator[None]:
    with scope() as session:
        if not session.execute(text(f"select pg_try_advisory_lock({Lock.CUTOVER})")).scalar_one():
            raise AlreadyRunningError("Another comparison with the old tables runs, or a promotion. Look at it with:"
                                      " tds migrate-from days")  # fmt: skip
    try:
        yield
    finally:
        with suppress(DBAPIError), scope() as session:  # a lost connection holds no lock
            session.execute(text(f"select pg_advisory_unlock({Lock.CUTOVER})"))


_BEGIN = text("""
insert into tds_cutover_days (day, entity, mapping_digest, requested_by) values (:day, :entity, :digest, :by)
returning id
""")


def _compare_entity(databases: _Databases, table: OldTable, order: ComparisonOrder, digest: str) -> DayResult:
    scope, name = databases.scope, table.mapped.entity.name
    with scope() as session:
        params = {"day": order.day, "entity": name, "digest": digest, "by": order.requested_by}
        day_id = int(session.execute(_BEGIN, params).scalar_one())
    with scope() as session:
        staged = staging.copy_old_rows(session, databases.old, table)
    counts = _compare_pages(scope, table, day_id)
    call_count = 0
    if order.deep and counts.different_count + counts.missing_old_count + counts.missing_here_count:
        source = databases.open_source(table.mapped.entity.stream.source)
        before = source.call_count
        limits = JudgementLimits(day_id=day_id, deep=order.deep, settle_seconds=order.settle_seconds)
        verdicts.judge_differences(scope, table, source, limits)
        call_count = source.call_count - before
    with scope() as session:
        figures = {**asdict(staged), **asdict(counts), "call_count": call_count}
        session.execute(_END, {**figures, "id": day_id, "entity": name})
        result = day_result(session, day_id)
    log.info("old_tables_compared", entity=name, day=str(order.day), not_asked_count=result.not_asked_count,
             tds_wrong_count=result.tds_wrong_count + result.both_wrong_count)  # fmt: skip
    return result


def _compare_pages(scope: Scope, table: OldTable, day_id: int) -> DifferenceCounts:
    counts = DifferenceCounts()
    after: str | None = ""
    while after is not None:
        with scope() as session:
            after = differences.compare_page(session, table, day_id, after, counts)
    with scope() as session:
        differences.clear_settled(session, table.mapped.entity.name, day_id)
    return counts


_END = text("""
with found as (
    select count(*) filter (where verdict = 'old_wrong') as old_wrong, count(*) filter (where verdict = 'tds_wrong') as
           tds_wrong, count(*) filter (where verdict = 'both_wrong') as both_wrong,
           count(*) filter (where verdict = 'changed_meanwhile') as meanwhile,
           count(*) filter (where verdict = 'not_asked') as not_asked
    from tds_cutover_differences where entity = :entity and day_id = :id
), by_field as (
    select coalesce(jsonb_object_agg(name, record_count), '{}') as counts from (
        select name, count(*) as record_count from tds_cutover_differences, unnest(fields) as name
        where entity = :entity and day_id = :id group by name) each_field
)
update tds_cutover_days c
set ended_at = clock_timestamp(), old_count = :old_count, here_count = :here_count, equal_count = :equal_count,
    duplicate_count = :duplicate_count, unkeyed_count = :unkeyed_count, different_count = :different_count,
    missing_old_count = :missing_old_count, missing_here_count = :missing_here_count, call_count = :call_count,
    old_wrong_count = found.old_wrong, tds_wrong_count = found.tds_wrong, both_wrong_count = found.both_wrong,
    changed_meanwhile_count = found.meanwhile, not_asked_count = found.not_asked, field_counts = by_field.counts
from found, by_field where c.id = :id
""")
