"""Routes of silences and maintenance windows: listed, previewed, made, extended and ended."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.alert_silences import (
    ExtensionSchema,
    SilenceArgumentsSchema,
    SilenceMadeSchema,
    SilencePreviewSchema,
    SilenceRequestSchema,
    SilenceSchema,
)
from tds_api.schemas.common import page_schema
from tds_core.alerts import silences
from tds_core.alerts.operator_actions import make_silence
from tds_core.alerts.silences import Silence
from tds_core.queue.items import database_clock
from tds_models.auth import Role
from tds_models.db import session_scope


def alert_silence_routes(context: Context) -> Blueprint:
    """Silences."""
    routes = Blueprint(
        "alert-silences", __name__, url_prefix="/api/tds/alert-silences", description="When alerts send no messages"
    )

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.arguments(SilenceArgumentsSchema, location="query")
    @routes.response(200, page_schema(SilenceSchema))
    def listed(arguments: dict[str, Any]) -> Any:
        """Silences and maintenance windows, the newest first; ended ones are kept."""
        with session_scope(context.engine) as session:
            return silences.silences(session, **arguments)

    @routes.post("")
    @needs(Role.OPERATOR)
    @routes.arguments(SilenceRequestSchema)
    @routes.response(201, SilenceMadeSchema)
    def create(arguments: dict[str, Any]) -> Any:
        """Let alerts that match send no messages: for a time, or with `cron` in a window that recurs."""
        with session_scope(context.engine) as session:
            return make_silence(session, _planned(session, arguments), by=principal_name())

    @routes.post("/preview")
    @needs(Role.OPERATOR)
    @routes.arguments(SilenceRequestSchema)
    @routes.response(200, SilencePreviewSchema)
    def preview(arguments: dict[str, Any]) -> Any:
        """The active alerts that a silence would mute; nothing is made."""
        with session_scope(context.engine) as session:
            return silences.preview(session, _planned(session, arguments))

    @routes.post("/<int:silence_id>/end")
    @needs(Role.OPERATOR)
    @routes.response(200, SilenceSchema)
    def end(silence_id: int) -> Any:
        """End a silence now; what fires then sends its message."""
        with session_scope(context.engine) as session:
            return silences.end(session, silence_id, by=principal_name())

    @routes.post("/<int:silence_id>/extend")
    @needs(Role.OPERATOR)
    @routes.arguments(ExtensionSchema)
    @routes.response(200, SilenceSchema)
    def extend(arguments: dict[str, Any], silence_id: int) -> Any:
        """Move the end of a silence that has not ended."""
        with session_scope(context.engine) as session:
            return silences.extend(session, silence_id, ends_at=_end(session, arguments))

    return routes


def _planned(session: Session, arguments: dict[str, Any]) -> Silence:
    lasts = arguments.pop("lasts_seconds", None)
    return silences.planned(session, lasts=timedelta(seconds=lasts) if lasts else None, **arguments)


def _end(session: Session, arguments: dict[str, Any]) -> datetime:
    if "ends_at" in arguments:
        ends_at: datetime = arguments["ends_at"]
        return ends_at
    return database_clock(session) + timedelta(seconds=arguments["lasts_seconds"])
