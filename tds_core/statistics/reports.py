"""Reports: the figures of entities with the source's side and trends, of the whole, and their history by day."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, TypedDict

from sqlalchemy.orm import Session

from tds_core.queue.items import database_clock
from tds_core.statistics import sync_performance as business
from tds_core.statistics import trends as compare
from tds_core.statistics.entity_figures import FigureKind, breakdowns_of, figures_of
from tds_core.statistics.history import StoredFigures, figures_of_days
from tds_core.statistics.latest_entity_figures import current_figures
from tds_core.statistics.local_time import local_day, local_days
from tds_core.statistics.source_counts import SourceReport, latest_reports
from tds_core.statistics.trends import Trend
from tds_models.entities import ENTITIES


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
    span = local_days(database_clock(session), days, zone)
    names, last = list(entities), span[-1]
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
