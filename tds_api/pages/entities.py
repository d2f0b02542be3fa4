"""The pages of entities: the state of each, and its rows."""

from flask import Blueprint, Response
from werkzeug.exceptions import NotFound

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.masking import masked, personal_names
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_api.pages.record_fields import list_columns
from tds_api.pages.records import MOMENTS, with_zone
from tds_models.auth import Role
from tds_models.entities import ENTITIES


def entity_pages() -> Blueprint:
    """Entities."""
    routes = Blueprint("entity pages", __name__, url_prefix=f"{HOME}/entities")

    @routes.get("")
    @needs(Role.VIEWER)
    def statuses() -> Response:
        """Every entity: rows, freshness, the newest run, and how it compared."""
        api = ApiClient.of_request()
        frame = PageFrame(template="entities.html", title=gettext("Entities"), rows="entities", refresh_seconds=10)
        return dashboard_page(frame, {"entities": api.get("entities"), "comparison": api.get("statistics/compare")})

    @routes.get("/<entity>")
    @needs(Role.VIEWER)
    def rows(entity: str) -> Response:
        """The rows of an entity, filtered by the address."""
        if entity not in ENTITIES:
            raise NotFound(f"There is no entity {entity}.")
        declared = ENTITIES[entity]
        frame = PageFrame(template="entity_rows.html", title=declared.title, rows="rows")
        given = {name: with_zone(value) if name in MOMENTS else value for name, value in arguments().items()}
        rows = masked(ApiClient.of_request().get(f"entities/{entity}", **given), personal_names(entity))
        return dashboard_page(
            frame, {"rows": rows}, entity=entity, columns=list_columns(declared), filters=list(declared.filters)
        )

    return routes
