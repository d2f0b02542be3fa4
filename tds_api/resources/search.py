"""The route of the search over all entities."""

from typing import Any

from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.mirror import HitsSchema, SearchArgumentsSchema
from tds_core.mirror.search import search
from tds_models.auth import Role
from tds_models.entities import ENTITIES


def search_routes(context: Context) -> Blueprint:
    """The search."""
    routes = Blueprint("search", __name__, url_prefix="/api/tds/search", description="Any record by number or name")

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.arguments(SearchArgumentsSchema, location="query")
    @routes.response(200, HitsSchema)
    def found(arguments: dict[str, Any]) -> Any:
        """Records of all entities whose number, SKU, name or id begins so: at most 20, exact ones first."""
        entity = ENTITIES.get(arguments.get("entity", ""))
        with context.reads.scope() as session:
            return search(session, arguments["q"], entity=entity)

    return routes
