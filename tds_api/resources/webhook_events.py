"""Routes of received webhooks: recent events, refused deliveries, replay, and statistics."""

from typing import Any

from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import page_schema
from tds_api.schemas.inbox_and_queue import (
    EventArgumentsSchema,
    EventSchema,
    ReceptionSchema,
    RejectedArgumentsSchema,
    RejectedSchema,
    ReplayedSchema,
)
from tds_core.inbox import queries
from tds_core.inbox.replay import replay
from tds_core.sources.zoho.webhooks.parser import parse_again
from tds_core.webhook_coverage.queries import summary
from tds_models.auth import Role
from tds_models.db import session_scope


def webhook_event_routes(context: Context) -> Blueprint:
    """Received webhooks."""
    routes = Blueprint("reception", __name__, url_prefix="/api/tds/zoho/webhooks", description="Webhooks received")

    @routes.get("/recent")
    @needs(Role.VIEWER)
    @routes.arguments(EventArgumentsSchema, location="query")
    @routes.response(200, page_schema(EventSchema))
    def recent(arguments: dict[str, Any]) -> Any:
        """Recent events with their verdicts, the newest first."""
        with session_scope(context.engine) as session:
            return queries.recent_events(session, **arguments)

    @routes.get("/<int:event_id>")
    @needs(Role.VIEWER)
    @routes.response(200, EventSchema)
    def one(event_id: int) -> Any:
        """One event with its verdict."""
        with session_scope(context.engine) as session:
            return queries.event(session, event_id)

    @routes.get("/rejected")
    @needs(Role.OPERATOR)
    @routes.arguments(RejectedArgumentsSchema, location="query")
    @routes.response(200, page_schema(RejectedSchema))
    def rejected(arguments: dict[str, Any]) -> Any:
        """Refused deliveries with the reason, the newest first."""
        with session_scope(context.engine) as session:
            return queries.rejected_deliveries(session, **arguments)

    @routes.post("/<int:event_id>/replay")
    @needs(Role.OPERATOR)
    @routes.response(202, ReplayedSchema)
    def again(event_id: int) -> Any:
        """Replay one event as if it had just arrived; a quarantined body is parsed anew."""
        with session_scope(context.engine) as session:
            new_id, entity = replay(session, event_id, parse=parse_again)
        context.nudger.request([entity])
        return {"event_id": str(new_id), "replay_of": str(event_id), "entity": entity}, 202

    @routes.get("/health")
    @needs(Role.VIEWER)
    @routes.response(200, ReceptionSchema)
    def health() -> Any:
        """Reception in the last 24 hours: by entity, by verdict, duplicates, refusals and coverage."""
        with session_scope(context.engine) as session:
            return {**queries.reception_health(session), "coverage": summary(session)}

    return routes
