"""The route of the record of actions: who did what, from where, and what came of it."""

from typing import Any

from tds_api.auth.permissions import needs
from tds_api.context import Context
from tds_api.openapi import Blueprint
from tds_api.schemas.auth import ActionShown, AuditArguments
from tds_api.schemas.common import page_schema
from tds_core.auth import action_log
from tds_models.auth import Role
from tds_models.db import session_scope


def audit_routes(edge: Context) -> Blueprint:
    """What was done."""
    routes = Blueprint("audit", __name__, url_prefix="/api/tds/audit", description="Who did what, from where")

    @routes.get("")
    @needs(Role.ADMIN)
    @routes.arguments(AuditArguments, location="query")
    @routes.response(200, page_schema(ActionShown))
    def listed(arguments: dict[str, Any]) -> Any:
        """Actions, the newest first; refused ones too. Reads are not written down."""
        with session_scope(edge.engine) as session:
            return action_log.actions(session, **arguments)

    return routes
