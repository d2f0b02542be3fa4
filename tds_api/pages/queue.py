"""The page of the queue: work by entity and item by item, its depth and age over a day, and pauses."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response
from markupsafe import Markup

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.answer import Answer
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.charts import Mark, Series, time_chart
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_api.pages.common.time_marks import read_time_marks, time_marks
from tds_models.auth import Role
from tds_models.entities import ENTITIES

STATES = ("due", "waiting", "leased")


def queue_pages() -> Blueprint:
    """The queue."""
    routes = Blueprint("queue page", __name__, url_prefix=f"{HOME}/queue")

    @routes.get("")
    @needs(Role.VIEWER)
    def queue() -> Response:
        """Work by entity, the live items by the filters of the address, and what is paused."""
        api = ApiClient.of_request()
        frame = PageFrame(template="queue.html", title=gettext("Queue"), rows="work", refresh_seconds=3)
        parts = {
            "work": api.get("queue", **arguments()),
            "stats": api.get("queue/stats"),
            "pauses": api.get("queue/pauses"),
            "trend": api.get("queue/history", hours=24),
            **read_time_marks(api),
        }
        marks = time_marks(parts["alerts"], parts["deployments"])
        charts = [
            _chart(parts["trend"], "depth", gettext("Items that wait, last 24 hours"), "", marks),
            _chart(parts["trend"], "lag_seconds", gettext("Age of the oldest due item, last 24 hours"), " s", marks),
        ]
        return dashboard_page(
            frame, parts, entities=list(ENTITIES), states=STATES, charts=[each for each in charts if each]
        )

    return routes


def _chart(trend: Answer, figure: str, title: str, unit: str, marks: Sequence[Mark]) -> dict[str, Any] | None:
    """A figure as a chart with its table; None while nothing was measured."""
    samples = trend.data[figure] if trend else []
    if not samples:
        return None
    # To the minute, so that a poll of what did not change gets the same page.
    points = steps(samples, max(f"{datetime.now(UTC):%Y-%m-%dT%H:%M}:00+00:00", samples[-1]["at"]))
    drawing: Markup = time_chart([Series(title, points)], title=title, unit=unit, marks=marks)
    return {"drawing": drawing, "title": title, "rows": [(each["at"], each["value"] or 0) for each in samples]}


def steps(samples: Sequence[dict[str, Any]], until: str) -> list[tuple[str, float]]:
    """The line of samples that each hold until the next, the last until `until`; None is 0: nothing waited."""
    points: list[tuple[str, float]] = []
    for sample in samples:
        if points:
            points.append((sample["at"], points[-1][1]))
        points.append((sample["at"], sample["value"] or 0.0))
    return [*points, (until, points[-1][1])] if points else []
