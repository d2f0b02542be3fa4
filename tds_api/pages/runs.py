"""The pages of runs: the list, and one run with its progress, its holds and the decision about them."""

from flask import Blueprint, Response

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_models.auth import Role
from tds_models.entities import ENTITIES
from tds_models.runs import Mode, RunState


def run_pages() -> Blueprint:
    """Runs."""
    routes = Blueprint("run pages", __name__, url_prefix=f"{HOME}/runs")

    @routes.get("")
    @needs(Role.VIEWER)
    def runs() -> Response:
        """Runs, the newest first; those that are held wait for a decision."""
        frame = PageFrame(template="runs.html", title=gettext("Runs"), rows="runs", refresh_seconds=3)
        parts = {"runs": ApiClient.of_request().get("runs", **arguments())}
        return dashboard_page(frame, parts, entities=list(ENTITIES), states=list(RunState), modes=list(Mode))

    @routes.get("/<int:run_id>")
    @needs(Role.VIEWER)
    def run(run_id: int) -> Response:
        """One run."""
        frame = PageFrame(template="run.html", title=gettext("Run %(number)s") % {"number": run_id}, refresh_seconds=2)
        return dashboard_page(frame, {"run": ApiClient.of_request().get(f"runs/{run_id}")})

    return routes
