"""Routes of event replays: what a replay would take in, begin one, watch and cancel it."""

from typing import Any

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.http.correlation import correlation_id
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import PageArgumentsSchema, page_schema
from tds_api.schemas.replays import (
    ReplayBatchSchema,
    ReplayPreviewSchema,
    ReplayRequestSchema,
    ReplaySelectionSchema,
)
from tds_core.inbox import replay_batches
from tds_core.inbox.replay_batches import EventSelection
from tds_models.auth import Role
from tds_models.db import session_scope


def replay_routes(context: Context) -> Blueprint:
    """Event replays."""
    routes = Blueprint(
        "replays", __name__, url_prefix="/api/tds/zoho/webhooks/replay", description="Many events received again"
    )

    @routes.post("/preview")
    @needs(Role.OPERATOR)
    @routes.arguments(ReplaySelectionSchema)
    @routes.response(200, ReplayPreviewSchema)
    def look(arguments: dict[str, Any]) -> Any:
        """The events a selection matches now, by entity, and how long their replay takes; nothing is written."""
        per_minute = _pop_per_minute(context, arguments)
        with session_scope(context.engine) as session:
            return replay_batches.preview(session, EventSelection(**arguments), per_minute=per_minute)

    @routes.post("")
    @needs(Role.OPERATOR)
    @routes.arguments(ReplayRequestSchema)
    @routes.response(202, ReplayBatchSchema)
    def begin(arguments: dict[str, Any]) -> Any:
        """Replay the events that a preview showed, at most `per_minute`; 409 when others match by now."""
        per_minute = _pop_per_minute(context, arguments)
        shown = {name: arguments.pop(name) for name in ("event_count", "taken_at")}
        with session_scope(context.engine) as session:
            batch_id = replay_batches.request_batch(
                session,
                EventSelection(**arguments),
                by=principal_name(),
                per_minute=per_minute,
                correlation_id=correlation_id(),
                **shown,
            )
            return replay_batches.batch(session, batch_id)

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.arguments(PageArgumentsSchema, location="query")
    @routes.response(200, page_schema(ReplayBatchSchema))
    def listed(arguments: dict[str, Any]) -> Any:
        """Batches, the newest first."""
        with session_scope(context.engine) as session:
            return replay_batches.batches(session, **arguments)

    @routes.get("/<int:batch_id>")
    @needs(Role.VIEWER)
    @routes.response(200, ReplayBatchSchema)
    def one(batch_id: int) -> Any:
        """The progress of a batch."""
        with session_scope(context.engine) as session:
            return replay_batches.batch(session, batch_id)

    @routes.post("/<int:batch_id>/cancel")
    @needs(Role.OPERATOR)
    @routes.response(200, ReplayBatchSchema)
    def cancel(batch_id: int) -> Any:
        """Replay no more events of a batch; those already received again go on."""
        with session_scope(context.engine) as session:
            replay_batches.cancel_batch(session, batch_id, by=principal_name())
            return replay_batches.batch(session, batch_id)

    return routes


def _pop_per_minute(context: Context, arguments: dict[str, Any]) -> int:
    return int(arguments.pop("per_minute", context.settings.revive_per_minute))
