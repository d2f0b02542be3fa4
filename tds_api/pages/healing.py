"""The pages of healing and of workers: what was put right by itself, and which processes run."""

from typing import Final

from flask import Blueprint, Response, request

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_core.healing.action_log import HealingOutcome
from tds_core.healing.cycle import ACTIONS
from tds_models.auth import Role

#: The spans of the figures, in hours.
SPANS: Final = (24, 168, 720)


def healing_pages() -> Blueprint:
    """Healing and workers."""
    routes = Blueprint("healing pages", __name__, url_prefix=HOME)

    @routes.get("/healing")
    @needs(Role.VIEWER)
    def healing() -> Response:
        """What each action did, how soon records recovered, and the history by the filters of the address."""
        api, filters = ApiClient.of_request(), arguments()
        hours = filters.pop("hours", None)
        frame = PageFrame(template="healing.html", title=gettext("Healing"), rows="deeds", refresh_seconds=10)
        parts = {
            "figures": api.get("auto-healing/stats", hours=hours),
            "deeds": api.get("auto-healing/history", **filters),
        }
        return dashboard_page(
            frame, parts, kinds=[each.name for each in ACTIONS], outcomes=list(HealingOutcome), spans=SPANS,
            hours=request.args.get("hours", "24"),
        )  # fmt: skip

    @routes.get("/workers")
    @needs(Role.VIEWER)
    def workers() -> Response:
        """Workers, the queues they consume, and the other processes."""
        frame = PageFrame(template="workers.html", title=gettext("Workers"), rows=None, refresh_seconds=5)
        return dashboard_page(frame, {"running": ApiClient.of_request().get("workers")})

    return routes
