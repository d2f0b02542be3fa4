"""Routes of the queue: work items, statistics, pause and resume."""

from typing import Any

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import page_schema
from tds_api.schemas.inbox_and_queue import (
    PauseReasonSchema,
    PauseRequestSchema,
    QueueArgumentsSchema,
    QueueHistoryArgumentsSchema,
    QueueHistorySchema,
    QueuePauseShownSchema,
    QueueStatsSchema,
    WorkItemSchema,
)
from tds_core.pagination import Page
from tds_core.queue import pauses as queue_pauses
from tds_core.queue import queries
from tds_models.auth import Role
from tds_models.db import session_scope
from tds_models.entities import ENTITIES


def queue_routes(context: Context) -> Blueprint:
    """Work items."""
    routes = Blueprint("work", __name__, url_prefix="/api/tds", description="The live queue")

    @routes.get("/queue")
    @needs(Role.VIEWER)
    @routes.arguments(QueueArgumentsSchema, location="query")
    @routes.response(200, page_schema(WorkItemSchema))
    def queue(arguments: dict[str, Any]) -> Any:
        """Live work items, the newest first."""
        with session_scope(context.engine) as session:
            page = queries.queue(session, **arguments)
        most = {"max_attempts": context.settings.max_attempts}
        return Page([{**item, **most} for item in page.items], page.next_cursor)

    @routes.get("/queue/stats")
    @needs(Role.VIEWER)
    @routes.response(200, QueueStatsSchema(many=True))
    def queue_stats() -> Any:
        """Due, waiting and leased items by entity."""
        with session_scope(context.engine) as session:
            return queries.queue_stats(session)

    @routes.get("/queue/history")
    @needs(Role.VIEWER)
    @routes.arguments(QueueHistoryArgumentsSchema, location="query")
    @routes.response(200, QueueHistorySchema)
    def queue_history(arguments: dict[str, Any]) -> Any:
        """How many items waited and how old the oldest due one was, over the last hours."""
        with session_scope(context.engine) as session:
            return queries.history(session, **arguments)

    _pause_routes(routes, context)
    return routes


def _pause_routes(routes: Blueprint, context: Context) -> None:
    @routes.get("/queue/pauses")
    @needs(Role.VIEWER)
    @routes.response(200, QueuePauseShownSchema(many=True))
    def pauses() -> Any:
        """The entities whose work is paused."""
        with session_scope(context.engine) as session:
            return queue_pauses.pauses(session)

    @routes.post("/queue/pause")
    @needs(Role.OPERATOR)
    @routes.arguments(PauseReasonSchema)
    @routes.response(200, QueuePauseShownSchema(many=True))
    def pause(arguments: dict[str, Any]) -> Any:
        """Pause the work of an entity, or of all. Work already claimed is finished; webhooks are accepted as ever."""
        with session_scope(context.engine) as session:
            return queue_pauses.pause(session, by=principal_name(), **arguments)

    @routes.post("/queue/resume")
    @needs(Role.OPERATOR)
    @routes.arguments(PauseRequestSchema)
    @routes.response(200, QueuePauseShownSchema(many=True))
    def resume(arguments: dict[str, Any]) -> Any:
        """Resume work. The response lists what is still paused."""
        with session_scope(context.engine) as session:
            paused = queue_pauses.resume(session, arguments["entity"])
        context.nudger.request([arguments["entity"]] if arguments["entity"] else ENTITIES)
        return paused
