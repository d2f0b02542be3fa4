"""Routes that show where incremental reads begin, and let an operator set that."""

from typing import Any

from tds_api.blueprint import Blueprint
from tds_api.edge import Edge
from tds_api.entities import check_entity
from tds_api.permissions import needs
from tds_api.schemas.cursors import Cursor, CursorArguments
from tds_core.sync import cursors
from tds_models.callers import Role
from tds_models.db import session_scope


def cursor_routes(edge: Edge) -> Blueprint:
    """Cursors."""
    routes = Blueprint("cursors", __name__, url_prefix="/api/tds/cursors", description="Where incremental reads begin")

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.response(200, Cursor(many=True))
    def all_cursors() -> Any:
        """The cursor of every entity that has one."""
        with session_scope(edge.engine) as session:
            return cursors.cursors(session)

    @routes.post("/<entity>")
    @needs(Role.OPERATOR)
    @routes.arguments(CursorArguments)
    @routes.response(200, Cursor)
    def put(arguments: dict[str, Any], entity: str) -> Any:
        """Have the next incremental read begin at a moment, also one before where it would; never one to come."""
        check_entity(entity)
        with session_scope(edge.engine) as session:
            return cursors.put(session, entity, **arguments)

    return routes
