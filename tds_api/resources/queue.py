"""Routes that show the live queue, and let it wait and go on."""

from typing import Any

from tds_api.auth.authentication import acting
from tds_api.auth.permissions import needs
from tds_api.context import Context
from tds_api.openapi import Blueprint
from tds_api.schemas.common import page_schema
from tds_api.schemas.inbox_and_queue import (
    PauseReason,
    PauseRequest,
    QueueArguments,
    QueuePauseShown,
    QueueStats,
    WorkItem,
)
from tds_core.queue import eligibility, queries
from tds_models.auth import Role
from tds_models.db import session_scope
from tds_models.entities import ENTITIES


def work_routes(edge: Context) -> Blueprint:
    """Work items."""
    routes = Blueprint("work", __name__, url_prefix="/api/tds", description="The live queue")

    @routes.get("/queue")
    @needs(Role.VIEWER)
    @routes.arguments(QueueArguments, location="query")
    @routes.response(200, page_schema(WorkItem))
    def queue(arguments: dict[str, Any]) -> Any:
        """Live work items, the newest first."""
        with session_scope(edge.engine) as session:
            return queries.queue(session, **arguments)

    @routes.get("/queue/stats")
    @needs(Role.VIEWER)
    @routes.response(200, QueueStats(many=True))
    def queue_stats() -> Any:
        """Due, waiting and leased items by entity."""
        with session_scope(edge.engine) as session:
            return queries.queue_stats(session)

    _pause_routes(routes, edge)
    return routes


def _pause_routes(routes: Blueprint, edge: Context) -> None:
    @routes.get("/queue/pauses")
    @needs(Role.VIEWER)
    @routes.response(200, QueuePauseShown(many=True))
    def pauses() -> Any:
        """Whose work waits because somebody paused it."""
        with session_scope(edge.engine) as session:
            return eligibility.pauses(session)

    @routes.post("/queue/pause")
    @needs(Role.OPERATOR)
    @routes.arguments(PauseReason)
    @routes.response(200, QueuePauseShown(many=True))
    def pause(arguments: dict[str, Any]) -> Any:
        """Let the work of an entity, or of all, wait. What is in hand is done; webhooks are taken as ever."""
        with session_scope(edge.engine) as session:
            return eligibility.pause(session, by=acting(), **arguments)

    @routes.post("/queue/resume")
    @needs(Role.OPERATOR)
    @routes.arguments(PauseRequest)
    @routes.response(200, QueuePauseShown(many=True))
    def resume(arguments: dict[str, Any]) -> Any:
        """Let work go on. The answer says what still waits."""
        with session_scope(edge.engine) as session:
            left = eligibility.resume(session, arguments["entity"])
        edge.bell.ask([arguments["entity"]] if arguments["entity"] else ENTITIES)
        return left
