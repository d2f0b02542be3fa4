"""The route of database locks: who holds what TDS waits for."""

from typing import Any

from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.locks import LockHolderSchema
from tds_core.health.database_locks import lock_holders
from tds_models.auth import Role
from tds_models.db import session_scope


def lock_routes(context: Context) -> Blueprint:
    """Locks of the database."""
    routes = Blueprint("locks", __name__, url_prefix="/api/tds/locks", description="Who holds up whom in the database")

    @routes.get("")
    @needs(Role.OPERATOR)
    @routes.response(200, LockHolderSchema(many=True))
    def listed() -> Any:
        """Sessions whose locks block others or may block TDS: who, since when, on which tables, and whom they block."""
        with session_scope(context.engine) as session:
            return lock_holders(session)

    return routes
