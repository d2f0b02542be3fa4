"""Reports: the figures of entities with the source's side and trends, of the whole, and their history by day."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypedDict

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import TdsError
from tds_core.mirror.row_queries import EntityCounts
from tds_core.mirror.stock_statistics import StockCounts, StockLocation
from tds_core.queue.items import database_clock
from tds_core.statistics import business_figures as business
from tds_core.statistics import trends as compare
from tds_core.statistics.entity_figures import (
    OTHER_TABLES,
    FigureKind,
    breakdowns_of,
    figures_of,
    measure,
    read_figures,
)
from tds_core.statistics.history import StoredFigures, figures_of_days, newest_figures
from tds_core.statistics.local_time import local_day
from tds_core.statistics.source_counts import SourceReport, latest_reports
from tds_core.statistics.trends import Trend
from tds_models.entities import ENTITIES

#: Tables of an entity that are smaller than this together are measured when asked for; larger ones every hour.
MEASURED_AT_ONCE_BYTES = 24 * 1024**2
LONGEST_HISTORY_DAYS = 366

# A table that is not there has no size; measuring it then says so as everywhere.
_SIZES = text("""
select t as name, coalesce(pg_relation_size(to_regclass(t)), 0) as bytes from unnest(cast(:tables as text[])) as t
""")


class InvalidSpanError(TdsError):
    """A history of this length cannot be shown."""

    code = "invalid_span"


class EntityReport(TypedDict):
    """What is known of an entity. `figures` is None where they were never measured, and `reason` says what to do.

    `trends`: of the last 7 and 30 days.
    """

    entity: str
    title: str
    measured_at: datetime | None
    figures: dict[str, Any] | None
    reason: str | None
    source: SourceReport
    trends: list[Trend]


class Overview(TypedDict):
    """All entities, and the business figures."""

    at: datetime
    time_zone: str
    entities: list[EntityReport]
    today: business.Today
    success_rates: list[business.SuccessRate]


class CombinedFigures(TypedDict):
    """An entity here and there. `difference_count`: records here less records there; None where one is not known."""

    entity: str
    title: str
    measured_at: datetime | None
    mirror: dict[str, Any] | None
    mirror_reason: str | None
    source: SourceReport | None
    source_reason: str | None
    difference_count: int | None


class WorkHealth(TypedDict):
    """How the work does: success rates, today, and latency of the last day and week."""

    at: datetime
    success_rates: list[business.SuccessRate]
    today: business.Today
    latency: list[business.LatencyFigures]


class DayOfHistory(TypedDict):
    """The figures of an entity at the end of a day; None for a day on which nothing was measured."""

    day: date
    figures: dict[str, Any] | None


class EntityHistory(TypedDict):
    """The figures of an entity day by day, the newest last, and how they changed."""

    entity: str
    title: str
    days: list[DayOfHistory]
    trends: list[Trend]


class History(TypedDict):
    """The history of some entities."""

    time_zone: str
    days: int
    entities: list[EntityHistory]


def current_figures(session: Session, entities: Iterable[str], *, zone: str) -> dict[str, StoredFigures]:
    """The figures of entities as they are: measured now where that is quick, else as they were measured last."""
    names = list(entities)
    quick = _quickly_measured(session, names)
    found = newest_figures(session, [name for name in names if name not in quick])
    now = database_clock(session)
    for name in quick:
        found[name] = {"measured_at": now, "figures": read_figures(name, measure(session, name, zone=zone))}
    return found


def stored_counts(session: Session) -> dict[str, EntityCounts]:
    """How many rows large entities have by state, as they were measured last; those never measured are left out."""
    names = EntityCounts.__annotations__
    counts: Any = {
        entity: {name: each["figures"].get(name) for name in names} | {"counted_at": each["measured_at"]}
        for entity, each in _of_large(session, ENTITIES).items()
    }
    found: dict[str, EntityCounts] = counts
    return found


def stored_stock(session: Session) -> StockCounts | None:
    """The stock as it was measured last; None where it is counted quickly, or was never measured."""
    stored = _of_large(session, ["stock_level"]).get("stock_level")
    if stored is None:
        return None
    figures = stored["figures"]
    return StockCounts(
        measured_at=stored["measured_at"],
        product_count=figures["live_count"],
        details_left=figures["details_left"],
        out_of_stock_count=figures["without_stock_count"],
        negative_count=figures["negative_stock_count"],
        stock_on_hand=Decimal(figures["stock_on_hand"]),
        oldest_confirmed_at=figures["oldest_confirmed_at"],
        last_changed_at=figures["last_changed_at"],
        locations=[_stock_location(each) for each in figures["locations"]],
    )


def _stock_location(row: Mapping[str, Any]) -> StockLocation:
    return StockLocation(
        location_id=row["location_id"],
        location_name=row["location_name"],
        product_count=row["product_count"],
        stock_on_hand=Decimal(row["stock_on_hand"]),
    )


def _of_large(session: Session, entities: Iterable[str]) -> dict[str, StoredFigures]:
    """The figures measured last of entities whose tables are too large to be read when asked for."""
    names = list(entities)
    quick = _quickly_measured(session, names)
    return newest_figures(session, [name for name in names if name not in quick])


def _quickly_measured(session: Session, names: Iterable[str]) -> set[str]:
    """Which entities have tables so small that reading them whole takes some milliseconds."""
    tables = {
        name: [ENTITIES[name].table.fullname, *(each.fullname for each in ENTITIES[name].line_tables.values()),
               *OTHER_TABLES.get(name, ())]
        for name in names
    }  # fmt: skip
    every = sorted({table for each in tables.values() for table in each})
    sizes = {row.name: row.bytes for row in session.execute(_SIZES, {"tables": every})}
    return {name for name, each in tables.items() if sum(sizes[table] for table in each) <= MEASURED_AT_ONCE_BYTES}


def entity_reports(session: Session, entities: Iterable[str], *, zone: str) -> list[EntityReport]:
    """The reports of some entities, in their order."""
    names = list(entities)
    current, seen = current_figures(session, names, zone=zone), latest_reports(session, names)
    today = local_day(database_clock(session), zone)
    earlier = {days: _figures_of(session, names, today - timedelta(days=days), zone) for days in compare.DAYS}
    return [
        _entity_report(
            name,
            current.get(name),
            seen[name],
            {days: (today - timedelta(days=days), then.get(name)) for days, then in earlier.items()},
        )
        for name in names
    ]


def _entity_report(
    name: str,
    stored: StoredFigures | None,
    source: SourceReport,
    earlier: Mapping[int, tuple[date, Mapping[str, Any] | None]],
) -> EntityReport:
    figures = stored["figures"] if stored else None
    title = ENTITIES[name].title
    return EntityReport(
        entity=name,
        title=title,
        measured_at=stored["measured_at"] if stored else None,
        figures=figures,
        reason=None if stored else f"{title} are too many to be counted on request: tds schedule run statistics",
        source=source,
        trends=_trends(name, figures, earlier),
    )


def _figures_of(session: Session, names: list[str], day: date, zone: str) -> dict[str, dict[str, Any]]:
    found = figures_of_days(session, names, first=day, last=day, zone=zone)
    return {name: days[day] for name, days in found.items() if day in days}


def _trends(
    name: str, now: Mapping[str, Any] | None, earlier: Mapping[int, tuple[date, Mapping[str, Any] | None]]
) -> list[Trend]:
    shape = [(figure.name, figure.kind) for figure in figures_of(name)]
    return compare.trends(shape, breakdowns_of(name), now=now, earlier=earlier)


def overview(session: Session, *, zone: str) -> Overview:
    """All entities, with the trends of how many records they have, and the business figures."""
    reports = entity_reports(session, ENTITIES, zone=zone)
    for report in reports:
        report["trends"] = [each for each in report["trends"] if each["figure"] == "live_count"]
    health = work_health(session, zone=zone)
    return Overview(
        at=health["at"], time_zone=zone, entities=reports, today=health["today"], success_rates=health["success_rates"]
    )


def combined_figures(session: Session, *, zone: str) -> list[CombinedFigures]:
    """Each entity as the mirror has it, beside what the source was last seen to have."""
    found = []
    for report in entity_reports(session, ENTITIES, zone=zone):
        source, figures = report["source"], report["figures"]
        there = source["there_count"]
        found.append(
            CombinedFigures(
                entity=report["entity"], title=report["title"], measured_at=report["measured_at"], mirror=figures,
                mirror_reason=report["reason"], source=source if there is not None else None,
                source_reason=source["reason"],
                difference_count=None if there is None or figures is None else figures["live_count"] - there,
            )
        )  # fmt: skip
    return found


def work_health(session: Session, *, zone: str) -> WorkHealth:
    """How the work does."""
    now = database_clock(session)
    recent = business.recent_activity(session, now=now, zone=zone)
    return WorkHealth(
        at=now,
        success_rates=business.success_rates(recent),
        today=business.today(recent),
        latency=[
            business.latency_figures(window, recent.within(business.window_begins(now, window, zone))[0].values())
            for window in ("24h", "7d")
        ],
    )


def success_rates(
    session: Session, *, zone: str, windows: Iterable[str] = business.WINDOWS
) -> list[business.SuccessRate]:
    """The success rates of the last hour, day, week and 30 days, or of some of these."""
    return business.success_rates(business.recent_activity(session, now=database_clock(session), zone=zone), windows)


def history(session: Session, *, days: int, entities: Iterable[str] = ENTITIES, zone: str) -> History:
    """The figures of entities on each of the last `days` days, today included; lists by place or list are left out.

    Raises InvalidSpanError.
    """
    if not 1 <= days <= LONGEST_HISTORY_DAYS:
        raise InvalidSpanError(f"A history has 1 to {LONGEST_HISTORY_DAYS} days, not {days}.")
    names, last = list(entities), local_day(database_clock(session), zone)
    span = [last - timedelta(days=back) for back in reversed(range(days))]
    furthest = last - timedelta(days=max(days, *compare.DAYS))
    found = figures_of_days(session, names, first=furthest, last=last, zone=zone)
    return History(time_zone=zone, days=days, entities=[_history_of(name, found.get(name, {}), span) for name in names])


def _history_of(name: str, by_day: Mapping[date, dict[str, Any]], span: list[date]) -> EntityHistory:
    last = span[-1]
    now = by_day.get(last) or by_day.get(last - timedelta(days=1))
    earlier = {days: (last - timedelta(days=days), by_day.get(last - timedelta(days=days))) for days in compare.DAYS}
    return EntityHistory(
        entity=name, title=ENTITIES[name].title, trends=_trends(name, now, earlier),
        days=[DayOfHistory(day=day, figures=_without_lists(name, by_day.get(day))) for day in span],
    )  # fmt: skip


def _without_lists(name: str, figures: dict[str, Any] | None) -> dict[str, Any] | None:
    """The figures without breakdowns by place and price list; sums by currency stay."""
    if figures is None:
        return None
    long = {each.name for each in breakdowns_of(name) if each.columns[0].kind is FigureKind.TEXT} - {"outstanding"}
    return {key: value for key, value in figures.items() if key not in long}
