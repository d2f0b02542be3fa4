"""The page that finds any record by the beginning of its number, name or id; the hits alone for a script."""

from flask import Blueprint, Response, request

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, dashboard_page, page
from tds_models.auth import Role
from tds_models.entities import ENTITIES


def find_pages() -> Blueprint:
    """The search."""
    routes = Blueprint("find pages", __name__, url_prefix=f"{HOME}/find")

    @routes.get("")
    @needs(Role.VIEWER)
    def find() -> Response:
        """Records that begin with what was typed, exact ones first."""
        sought, entity = request.args.get("q", "").strip(), request.args.get("entity")
        hits = ApiClient.of_request().get("search", q=sought, entity=entity) if sought else None
        parts = {"hits": hits} if hits is not None else {}
        if "HX-Request" in request.headers:
            return page("find_hits.html", sought=sought, **parts)
        frame = PageFrame(template="find.html", title=gettext("Find a record"), rows="hits" if sought else None)
        return dashboard_page(frame, parts, sought=sought, entities=list(ENTITIES))

    return routes
