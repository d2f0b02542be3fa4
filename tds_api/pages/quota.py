"""The page of the quota: what is used of the minute and of the day, by class, and how long it lasts."""

from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from flask import Blueprint, Response
from markupsafe import Markup

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.charts import Mark, Series, meter, time_chart
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, dashboard_page
from tds_api.pages.common.time_marks import read_time_marks, time_marks
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota.usage_snapshot import OTHERS
from tds_models.auth import Role

_CLASSES = (*(each.value for each in Traffic), OTHERS)
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)


def quota_pages() -> Blueprint:
    """The quota."""
    routes = Blueprint("quota page", __name__, url_prefix=f"{HOME}/quota")

    @routes.get("")
    @needs(Role.VIEWER)
    def quota() -> Response:
        """The quota with its meters, the course of the day and its forecast."""
        frame = PageFrame(template="quota.html", title=gettext("Quota"), refresh_seconds=5)
        api = ApiClient.of_request()
        answer, around = api.get("zoho/quota"), read_time_marks(api)
        marks = time_marks(around["alerts"], around["deployments"])
        found: dict[str, Any] = answer.data if answer else {}
        return dashboard_page(
            frame, {"quota": answer, **around}, classes=_CLASSES,
            meters={name: level_meter(found[name], name) for name in ("minute", "concurrent") if found},
            days=[
                (day, level_meter(day, day["api"]), *_course(day, found["at"], marks))
                for day in found.get("days", ())
            ],
        )  # fmt: skip

    return routes


def level_meter(level: dict[str, Any], name: str) -> Markup:
    """How much of a limit is used; nothing without a limit."""
    limit = level["limit"]
    title = gettext("%(name)s: %(used)s of %(limit)s") % {"name": name, "used": level["used"], "limit": limit}
    return meter(level["used"] / limit if limit else None, title=title)


def _course(day: dict[str, Any], at: str, marks: list[Mark]) -> tuple[Markup, list[tuple[str, int, int]]]:
    """The chart of one day, and its figures: the hour, its calls, and those of the day up to its end."""
    now, reset = datetime.fromisoformat(at), datetime.fromisoformat(day["resets_at"])
    hours = [(datetime.fromisoformat(hour["began_at"]), sum(hour["by_class"].values())) for hour in day["hours"]]
    sums = list(accumulate(count for _, count in hours))
    used = [(reset - _DAY, 0.0)]
    for (began, count), each in zip(hours, sums, strict=True):
        used += [(max(began, reset - _DAY), float(each - count)), (min(began + _HOUR, now), float(each))]
    ahead = [(now, float(day["used"]))]
    if ends := day["runs_out_at"].get(Traffic.LIVE):
        ahead.append((datetime.fromisoformat(ends), float(day["limit"])))
    ahead.append((reset, float(day["used_at_reset"])))
    series = [Series(gettext("used"), [*used, ahead[0]]), Series(gettext("forecast"), ahead)]
    if day["limit"]:
        series.append(Series(gettext("limit"), [(reset - _DAY, day["limit"]), (reset, day["limit"])]))
    title = gettext("Calls to %(api)s since the last reset") % {"api": day["api"]}
    chart = time_chart(series, title=title, marks=marks)
    return chart, [(f"{began:%H:%M}", count, each) for (began, count), each in zip(hours, sums, strict=True)]
