"""Routes of health: a short report that needs no login, and a whole one with components and reasons."""

from typing import Any, TypedDict

from flask import Response, jsonify
from marshmallow import Schema, fields
from sqlalchemy.exc import SQLAlchemyError

from tds_api.auth.permissions import ANYBODY, needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.resources.schedules import JobSchema
from tds_api.schemas.statistics import SuccessRateSchema
from tds_core.config.settings import Settings
from tds_core.configuration.disabled_protections import SwitchedOff, switched_off
from tds_core.health import infrastructure
from tds_core.health.health import ComponentStatus, HealthState, overall, score
from tds_core.health.infrastructure import evaluate, infrastructure_health
from tds_core.queue import queries
from tds_core.queue.queries import HealthFigures
from tds_core.schedule.job_store import schedules
from tds_core.sources.zoho.organization_connection import access_report
from tds_core.statistics.reports import success_rates
from tds_models.auth import Role
from tds_models.db import session_scope


class ComponentSchema(Schema):
    """One component."""

    name = fields.String()
    state = fields.String(metadata={"description": "ok, warning or critical"})
    says = fields.String(metadata={"description": "why"})
    mend = fields.String(metadata={"description": "what to do about it; empty when all is well"})


class MissingPermissionSchema(Schema):
    """A module of Zoho, or one record of it, that may not be read; all else goes on."""

    source = fields.String()
    api = fields.String()
    path = fields.String()
    source_id = fields.String(allow_none=True, metadata={"description": "the record; null: the whole module"})
    scope = fields.String(metadata={"description": "the scope to add"})
    entities = fields.List(fields.String(), metadata={"description": "what waits for it"})
    says = fields.String()
    refused_at = fields.AwareDateTime(format="iso", metadata={"description": "since when"})
    refusal_count = fields.Integer()
    next_try_at = fields.AwareDateTime(format="iso")


class AccessSchema(Schema):
    """The state of the connection to Zoho."""

    access = fields.String(metadata={"description": "connected, refused, not tried yet or not connected"})
    since = fields.AwareDateTime(format="iso", allow_none=True)
    reason = fields.String()
    modules = fields.List(
        fields.Nested(MissingPermissionSchema), metadata={"description": "what may not be read, if any"}
    )


class ShortSwitchSchema(Schema):
    """A protection that is switched off: auto-healing or circuit breakers."""

    key = fields.String(metadata={"description": "its setting, AUTO_HEALING_ENABLED"})
    name = fields.String()
    since_at = fields.AwareDateTime(
        format="iso", allow_none=True, metadata={"description": "null: the environment has it off"}
    )


class SwitchSchema(ShortSwitchSchema):
    """A protection that is switched off, and who did that."""

    says = fields.String(metadata={"description": "the banner"})
    by = fields.String(allow_none=True)
    reason = fields.String(allow_none=True)


class ShortHealthSchema(Schema):
    """The health of TDS, without anything a stranger should not know."""

    status = fields.String(metadata={"description": "ok, degraded, unhealthy or down"})
    score = fields.Integer(metadata={"description": "from 0 to 100"})
    unwell = fields.List(fields.String(), metadata={"description": "names of components that are not ok"})
    database = fields.String()
    redis = fields.String()
    switched_off = fields.List(fields.Nested(ShortSwitchSchema), metadata={"description": "protections that are off"})
    zoho = fields.Nested(AccessSchema)
    figures = fields.Dict(keys=fields.String(), values=fields.Float())


class WholeHealthSchema(Schema):
    """The health of TDS, with the reasons."""

    status = fields.String(metadata={"description": "ok, degraded or unhealthy"})
    score = fields.Integer(metadata={"description": "from 0 to 100: a warning costs 10, something critical 40"})
    components = fields.List(fields.Nested(ComponentSchema))
    switched_off = fields.List(fields.Nested(SwitchSchema), metadata={"description": "protections that are off"})
    figures = fields.Dict(keys=fields.String(), values=fields.Float())


class MonitoredHealthSchema(WholeHealthSchema):
    """The health of TDS, with the reasons and with how much of its work succeeds."""

    success_rates = fields.List(
        fields.Nested(SuccessRateSchema), metadata={"description": "of the last hour, day, week and 30 days"}
    )


def health_routes(context: Context) -> Blueprint:
    """Health."""
    routes = Blueprint("health", __name__, url_prefix="/api/tds", description="How TDS does")

    @routes.get("/health")
    @needs(ANYBODY)
    @routes.response(200, ShortHealthSchema)
    @routes.alt_response(503, schema=ShortHealthSchema)
    def short() -> Any:
        """The short report: ok, degraded, unhealthy or down, the score, and the figures behind it."""
        return _short(context)

    @routes.get("/health/complete")
    @needs(Role.VIEWER)
    @routes.response(200, WholeHealthSchema)
    def complete() -> Any:
        """Every component, its state and why, and what to do about it."""
        return health_report(context)

    @routes.get("/monitoring/health")
    @needs(Role.VIEWER)
    @routes.response(200, MonitoredHealthSchema)
    def monitored() -> Any:
        """The same under the path monitors know, with success rates."""
        with session_scope(context.engine) as session:
            rates = success_rates(session, zone=context.settings.time_zone)
        return {**health_report(context), "success_rates": rates}

    @routes.get("/monitoring/scheduler/jobs")
    @needs(Role.VIEWER)
    @routes.response(200, JobSchema(many=True))
    def jobs() -> Any:
        """The timetable under the path monitors know."""
        with session_scope(context.engine) as session:
            return schedules(session)

    return routes


class HealthReport(TypedDict):
    """The status (ok, degraded or unhealthy), its score, the components, protections that are off, and figures."""

    status: str
    score: int
    components: list[ComponentStatus]
    switched_off: list[SwitchedOff]
    figures: HealthFigures


def health_report(context: Context) -> HealthReport:
    """The health of all components. Raises what the database raises."""
    with session_scope(context.engine) as session:
        measurements, figures = infrastructure_health(session, context.settings), queries.health_figures(session)
    components = evaluate(measurements, context.settings, context.breakers)
    return {
        "status": overall(components),
        "score": score(components),
        "components": components,
        "switched_off": switched_off(context.settings),
        "figures": figures,
    }


def redis_status(settings: Settings) -> str:
    """Whether Redis answers: reachable, away or not configured."""
    if not settings.redis_url:
        return "not configured"
    return "reachable" if infrastructure.redis_answers(settings.redis_url) else "away"


def _short(context: Context) -> Any:
    try:
        report = health_report(context)
        with session_scope(context.engine) as session:
            zoho = access_report(session, context.settings)
    except SQLAlchemyError:
        response: Response = jsonify(
            status="down", score=0, database="away", redis=redis_status(context.settings), figures={},
            switched_off=ShortSwitchSchema(many=True).dump(switched_off(context.settings)),
        )  # fmt: skip
        response.status_code = 503
        return response
    unwell = [component.name for component in report["components"] if component.state is not HealthState.OK]
    return {**report, "unwell": unwell, "database": "reachable", "redis": redis_status(context.settings), "zoho": zoho}
