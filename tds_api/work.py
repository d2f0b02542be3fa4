"""Routes that show the live queue."""

from typing import Any

from flask_smorest import Blueprint

from tds_api.edge import Edge
from tds_api.permissions import needs
from tds_api.schemas.common import page_schema
from tds_api.schemas.work import QueueArguments, QueueStats, WorkItem
from tds_core.reading import work
from tds_models.callers import Role
from tds_models.db import session_scope


def work_routes(edge: Edge) -> Blueprint:
    """Work items."""
    routes = Blueprint("work", __name__, url_prefix="/api/tds", description="The live queue")

    @routes.get("/queue")
    @needs(Role.VIEWER)
    @routes.arguments(QueueArguments, location="query")
    @routes.response(200, page_schema(WorkItem))
    def queue(arguments: dict[str, Any]) -> Any:
        """Live work items, the newest first."""
        with session_scope(edge.engine) as session:
            return work.queue(session, **arguments)

    @routes.get("/queue/stats")
    @needs(Role.VIEWER)
    @routes.response(200, QueueStats(many=True))
    def queue_stats() -> Any:
        """Due, waiting and leased items by entity."""
        with session_scope(edge.engine) as session:
            return work.queue_stats(session)

    return routes
