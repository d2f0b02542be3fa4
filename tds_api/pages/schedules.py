"""The pages of schedules: every job in words with its last results, and one job with its slots and actions."""

from flask import Blueprint, Response

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, dashboard_page
from tds_api.pages.cron_descriptions import describe_schedule
from tds_models.auth import Role


def schedule_pages() -> Blueprint:
    """Schedules."""
    routes = Blueprint("schedule pages", __name__, url_prefix=f"{HOME}/schedules")

    @routes.get("")
    @needs(Role.VIEWER)
    def schedules() -> Response:
        """Every job: when it runs, in words, its next slot and how the last seven ended."""
        frame = PageFrame(template="schedules.html", title=gettext("Schedules"), rows="jobs", refresh_seconds=10)
        return dashboard_page(frame, {"jobs": ApiClient.of_request().get("schedules")}, describe=describe_schedule)

    @routes.get("/<name>")
    @needs(Role.VIEWER)
    def schedule(name: str) -> Response:
        """One job, and what its last slots said."""
        frame = PageFrame(template="schedule.html", title=name, refresh_seconds=3)
        return dashboard_page(
            frame, {"job": ApiClient.of_request().get(f"schedules/{name}")}, describe=describe_schedule
        )

    return routes
