"""The route of the action log: who did what, from where, and its outcome."""

from typing import Any

from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.auth import ActionShownSchema, AuditArgumentsSchema
from tds_api.schemas.common import page_schema
from tds_core.auth import action_log
from tds_models.auth import Role
from tds_models.db import session_scope


def action_routes(context: Context) -> Blueprint:
    """The action log."""
    routes = Blueprint("audit", __name__, url_prefix="/api/tds/audit", description="Who did what, from where")

    @routes.get("")
    @needs(Role.ADMIN)
    @routes.arguments(AuditArgumentsSchema, location="query")
    @routes.response(200, page_schema(ActionShownSchema))
    def listed(arguments: dict[str, Any]) -> Any:
        """Actions, the newest first; refused ones too. Reads are not recorded."""
        with session_scope(context.engine) as session:
            return action_log.actions(session, **arguments)

    return routes
