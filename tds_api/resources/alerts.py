"""Routes of alerts: listed with their story, acknowledged, silenced, resolved, and taken in from Alertmanager."""

from datetime import timedelta
from typing import Any

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.alert_silences import SilenceMadeSchema
from tds_api.schemas.alerts import (
    AcknowledgementSchema,
    AlertArgumentsSchema,
    AlertmanagerSchema,
    AlertResolutionSchema,
    AlertSchema,
    AlertSilenceRequestSchema,
    AlertStorySchema,
    HistoryArgumentsSchema,
    IntakeSchema,
    TransitionSchema,
)
from tds_api.schemas.common import page_schema
from tds_core.alerts import external_alerts, operator_actions, queries
from tds_core.alerts.alertmanager import read_notification
from tds_core.alerts.rules import RULES
from tds_models.auth import Role
from tds_models.db import session_scope


def alert_routes(context: Context) -> Blueprint:
    """Alerts."""
    routes = Blueprint("alerts", __name__, url_prefix="/api/tds/alerts", description="What a person has to know now")

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.arguments(AlertArgumentsSchema, location="query")
    @routes.response(200, page_schema(AlertSchema))
    def alerts(arguments: dict[str, Any]) -> Any:
        """Alerts, the newest change first; those that are over are kept."""
        with session_scope(context.engine) as session:
            return queries.alerts(session, **arguments)

    @routes.get("/history")
    @needs(Role.VIEWER)
    @routes.arguments(HistoryArgumentsSchema, location="query")
    @routes.response(200, page_schema(TransitionSchema))
    def history(arguments: dict[str, Any]) -> Any:
        """Changes of the alerts' states, the newest first."""
        with session_scope(context.engine) as session:
            return queries.transitions(session, **arguments)

    @routes.get("/<int:alert_id>")
    @needs(Role.VIEWER)
    @routes.response(200, AlertStorySchema)
    def one(alert_id: int) -> Any:
        """One alert with its newest transitions and messages, and what to do about it."""
        with session_scope(context.engine) as session:
            return queries.story(session, alert_id, RULES)

    _order_routes(routes, context)
    _intake_route(routes, context)
    return routes


def _order_routes(routes: Blueprint, context: Context) -> None:
    @routes.post("/<int:alert_id>/acknowledge")
    @needs(Role.OPERATOR)
    @routes.arguments(AcknowledgementSchema)
    @routes.response(200, AlertSchema)
    def acknowledge(arguments: dict[str, Any], alert_id: int) -> Any:
        """Take care of an alert: no reminders and no escalation until the time is over or it is resolved."""
        lasts = timedelta(seconds=arguments["lasts_seconds"])
        with session_scope(context.engine) as session:
            operator_actions.acknowledge_alert(
                session, alert_id, by=principal_name(), lasts=lasts, note=arguments.get("note")
            )
            return queries.alert(session, alert_id)

    @routes.post("/<int:alert_id>/unacknowledge")
    @needs(Role.OPERATOR)
    @routes.response(200, AlertSchema)
    def unacknowledge(alert_id: int) -> Any:
        """Let an acknowledged alert send messages again."""
        with session_scope(context.engine) as session:
            operator_actions.unacknowledge_alert(session, alert_id, by=principal_name())
            return queries.alert(session, alert_id)

    @routes.post("/<int:alert_id>/silence")
    @needs(Role.OPERATOR)
    @routes.arguments(AlertSilenceRequestSchema)
    @routes.response(201, SilenceMadeSchema)
    def silence(arguments: dict[str, Any], alert_id: int) -> Any:
        """Silence exactly this alert, its rule and subject, also when it fires again meanwhile."""
        seconds = arguments.pop("lasts_seconds", None)
        lasts = timedelta(seconds=seconds) if seconds else None
        with session_scope(context.engine) as session:
            return operator_actions.silence_alert(session, alert_id, by=principal_name(), lasts=lasts, **arguments)

    @routes.post("/<int:alert_id>/resolve")
    @needs(Role.OPERATOR)
    @routes.arguments(AlertResolutionSchema)
    @routes.response(200, AlertSchema)
    def resolve(arguments: dict[str, Any], alert_id: int) -> Any:
        """End an alert by hand; while its condition is met, the next evaluation lets it fire again."""
        with session_scope(context.engine) as session:
            operator_actions.resolve_alert(session, alert_id, by=principal_name(), **arguments)
            return queries.alert(session, alert_id)


def _intake_route(routes: Blueprint, context: Context) -> None:
    @routes.post("/prometheus")
    @needs(Role.OPERATOR)
    @routes.arguments(AlertmanagerSchema)
    @routes.response(200, IntakeSchema)
    def prometheus(payload: dict[str, Any]) -> Any:
        """Take in a notification of Alertmanager: set this address and an API key in its webhook_configs."""
        notification = read_notification(payload)
        with session_scope(context.engine) as session:
            return external_alerts.take(session, notification, RULES)
