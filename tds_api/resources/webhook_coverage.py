"""Routes of webhook coverage: by entity and hour, and the changes that no webhook announced in time."""

from typing import Any

from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import page_schema
from tds_api.schemas.webhook_coverage import CoverageArgumentsSchema, CoverageSchema, GapArgumentsSchema, GapSchema
from tds_core.webhook_coverage import queries
from tds_models.auth import Role


def webhook_coverage_routes(context: Context) -> Blueprint:
    """Webhook coverage."""
    routes = Blueprint(
        "webhook_coverage",
        __name__,
        url_prefix="/api/tds/zoho/webhooks/coverage",
        description="Which changes webhooks announced",
    )

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.arguments(CoverageArgumentsSchema, location="query")
    @routes.response(200, CoverageSchema)
    def coverage(arguments: dict[str, Any]) -> Any:
        """Coverage by entity and hour."""
        with context.reads.scope() as session:
            return queries.coverage(session, **arguments)

    @routes.get("/gaps")
    @needs(Role.VIEWER)
    @routes.arguments(GapArgumentsSchema, location="query")
    @routes.response(200, page_schema(GapSchema))
    def gaps(arguments: dict[str, Any]) -> Any:
        """Changes that no webhook announced in time, those found last first."""
        with context.reads.scope() as session:
            return queries.gaps(session, **arguments)

    return routes
