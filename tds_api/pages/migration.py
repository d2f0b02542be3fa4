"""The page of the way from an old sync: who is right, TDS or its tables, by entity and day by day."""

from flask import Blueprint, Response

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_models.auth import Role


def migration_pages() -> Blueprint:
    """The comparison with an old sync's tables."""
    routes = Blueprint("migration pages", __name__, url_prefix=f"{HOME}/comparison")

    @routes.get("/old-tables")
    @needs(Role.VIEWER)
    def old_tables() -> Response:
        """How each entity stands, and the results of days."""
        api = ApiClient.of_request()
        frame = PageFrame(template="old_tables.html", title=gettext("Old tables"), rows="days", refresh_seconds=30)
        parts = {"migration": api.get("migration"), "days": api.get("migration/days", **arguments())}
        return dashboard_page(frame, parts)

    return routes
