"""The pages of statistics: how the work does, its course over days, the figures of the business, and the scorecard."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request
from markupsafe import Markup
from werkzeug.exceptions import NotFound

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.answer import Answer
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.charts import Mark, Series, sparkline, time_chart
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.masking import answered
from tds_api.pages.common.page_rendering import PageFrame, dashboard_page
from tds_api.pages.common.time_marks import read_time_marks, time_marks
from tds_api.resources.statistics import PATHS
from tds_core.statistics.entity_figures import breakdowns_of, figures_of
from tds_models.auth import Role
from tds_models.entities import ENTITIES

DAYS = (7, 30, 90)


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart with its figures as rows."""

    title: str
    drawing: Markup
    columns: list[str]
    rows: list[list[Any]]


def statistics_pages() -> Blueprint:
    """Statistics."""
    routes = Blueprint("statistics pages", __name__, url_prefix=HOME)

    @routes.get("/statistics")
    @needs(Role.VIEWER)
    def statistics() -> Response:
        """Success, latency and what was done today, and their course over the last days."""
        days = request.args.get("days", type=int, default=DAYS[0])
        entity = request.args.get("entity") if request.args.get("entity") in ENTITIES else None
        api = ApiClient.of_request()
        parts = {
            "work": api.get_cached("statistics/health"),
            "activity": api.get("statistics/activity", days=days, entity=entity),
            "history": api.get("statistics/history", days=days, entity=entity),
            "freshness": api.get("statistics/freshness", days=days, entity=entity),
            **read_time_marks(api),
        }
        frame = PageFrame(template="statistics.html", title=gettext("Statistics"), rows="activity", refresh_seconds=30)
        return dashboard_page(
            frame, parts, days=days, entity=entity, spans=DAYS, charts=_charts(parts), paths=PATHS,
            entities=list(ENTITIES), freshness_lines=freshness_lines(parts["freshness"]),
        )  # fmt: skip

    @routes.get("/statistics/<path>")
    @needs(Role.VIEWER)
    def report(path: str) -> Response:
        """The figures of one kind of record, with Zoho's count, and how they changed."""
        if path not in PATHS:
            raise NotFound(f"There are no figures called {path}.")
        entity = PATHS[path]
        frame = PageFrame(
            template="statistics_report.html", title=ENTITIES[entity].title, rows="trends", refresh_seconds=30
        )
        answer = ApiClient.of_request().get(f"statistics/{path}")
        trends = answered(answer, answer.data["trends"]) if answer else answer
        return dashboard_page(
            frame, {"report": answer, "trends": trends}, entity=entity, paths=PATHS, figures=figures_of(entity),
            breakdowns=breakdowns_of(entity), trend_rows=_trend_rows(answer.data["trends"]) if answer else [],
        )  # fmt: skip

    @routes.get("/scorecard")
    @needs(Role.VIEWER)
    def scorecard() -> Response:
        """What must hold for seven days, and whether it does, in the owner's words."""
        answer = ApiClient.of_request().get_cached("statistics/acceptance")
        lines = answered(answer, answer.data["lines"]) if answer else answer
        frame = PageFrame(template="scorecard.html", title=gettext("Scorecard"), rows="lines", refresh_seconds=30)
        return dashboard_page(frame, {"scorecard": answer, "lines": lines})

    return routes


def _charts(parts: Mapping[str, Answer]) -> list[Chart]:
    """The charts of the page, each of what was stored."""
    activity, marks = parts["activity"].items, time_marks(parts["alerts"], parts["deployments"])

    def drawn(
        title: str, lines: Mapping[str, Callable[[Any], Any]], unit: str = "", least: float | None = 0.0
    ) -> Chart:
        series = [Series(name, [(each["began_at"], value(each)) for each in activity]) for name, value in lines.items()]
        rows = [[each["began_at"], *(value(each) for value in lines.values())] for each in reversed(activity)]
        drawing = time_chart(series, title=title, unit=unit, marks=marks, least=least)
        return Chart(title, drawing, [gettext("From"), *lines], rows)

    return [
        drawn(gettext("Throughput"), {
            gettext("webhooks"): lambda each: each["webhook_count"],
            gettext("records brought"): lambda each: each["succeeded_count"],
            gettext("versions written"): lambda each: each["changed_count"],
        }),
        drawn(gettext("Success"), {gettext("success"): lambda each: _percent(each["success_rate"])}, " %", None),
        drawn(gettext("From webhook to row, p95"), {gettext("seconds"): lambda each: each["p95_seconds"]}, " s"),
        drawn(gettext("Failures"), {
            gettext("given up"): lambda each: each["failed_count"],
            gettext("retried"): lambda each: each["retried_count"],
            gettext("refused webhooks"): lambda each: each["rejected_count"],
        }),
        _freshness_chart(parts["freshness"], marks),
        _rows_chart(parts["history"], marks),
    ]  # fmt: skip


def _freshness_chart(freshness: Answer, marks: list[Mark]) -> Chart:
    """For how long changes at the source may not have been known, of the entity for which that was longest."""
    title = gettext("Freshness: longest unread")
    longest: dict[str, tuple[float, str]] = {}
    for each in freshness.data["entities"] if freshness else ():
        for point in each["points"]:
            here = (point["freshness_seconds"] / 60, each["entity"])
            longest[point["ended_at"]] = max(here, longest.get(point["ended_at"], here))
    series = Series(gettext("minutes"), [(at, minutes) for at, (minutes, _) in sorted(longest.items())])
    rows = [[at, round(minutes, 1), entity] for at, (minutes, entity) in sorted(longest.items(), reverse=True)]
    drawing = time_chart([series], title=title, unit=" min", marks=marks)
    return Chart(title, drawing, [gettext("Until"), gettext("minutes"), gettext("Entity")], rows)


def freshness_lines(freshness: Answer) -> dict[str, Markup]:
    """By entity, its freshness over the span as a small line."""
    return {
        each["entity"]: sparkline(
            [point["freshness_seconds"] for point in each["points"]],
            title=gettext("Freshness of %(entity)s") % {"entity": each["entity"]},
        )
        for each in (freshness.data["entities"] if freshness else ())
    }


def _rows_chart(history: Answer, marks: list[Mark]) -> Chart:
    """The living rows at the end of each day, of the entities together."""
    title = gettext("Rows")
    by_day: dict[str, float | None] = {}
    for entity in history.data["entities"] if history else ():
        for day in entity["days"]:
            known = by_day.get(day["day"])
            figures = day["figures"]
            by_day[day["day"]] = known if figures is None else (known or 0) + figures["live_count"]
    points = [(f"{day}T00:00:00+00:00", value) for day, value in by_day.items()]
    drawing = time_chart([Series(title, points)], title=title, marks=marks, least=None)
    rows = [[day, value] for day, value in reversed(by_day.items()) if value is not None]
    return Chart(title, drawing, [gettext("Day"), title], rows)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(share * 100, 3)


def _trend_rows(trends: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The trends as one row a figure, with those of 7 and 30 days beside each other."""
    rows: dict[tuple[str, str | None], dict[str, Any]] = {}
    for each in trends:
        row = rows.setdefault(
            (each["figure"], each["currency"]),
            {"figure": each["figure"], "currency": each["currency"], "now": each["now"], "by_days": {}},
        )
        row["by_days"][each["days"]] = each
    return list(rows.values())
