"""Routes that say how TDS does: in short for anybody, whole for who may see it; what Prometheus is told of it.

The shapes of health: short for anybody, whole with its components and reasons.
"""

from collections.abc import Iterator
from typing import Any

from flask import Response, jsonify
from marshmallow import Schema, fields
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from tds_api.auth.permissions import ANYBODY, needs
from tds_api.context import Context
from tds_api.openapi import Blueprint
from tds_api.resources.schedules import Job
from tds_core.health import infrastructure
from tds_core.health.health import ComponentStatus, State, overall, score
from tds_core.health.infrastructure import infrastructure_health, judged
from tds_core.observability.process import used_share
from tds_core.queue import queries
from tds_core.schedule.jobs import schedules
from tds_core.sources.zoho.connection import access_report
from tds_models.auth import Role
from tds_models.db import session_scope


class Component(Schema):
    """One component."""

    name = fields.String()
    state = fields.String(metadata={"description": "ok, warning or critical"})
    says = fields.String(metadata={"description": "why"})
    mend = fields.String(metadata={"description": "what to do about it; empty when all is well"})


class MissingPermission(Schema):
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


class Access(Schema):
    """How access to Zoho does."""

    access = fields.String(metadata={"description": "connected, refused, not tried yet or not connected"})
    since = fields.AwareDateTime(format="iso", allow_none=True)
    reason = fields.String()
    modules = fields.List(fields.Nested(MissingPermission), metadata={"description": "what may not be read, if any"})


class ShortHealth(Schema):
    """How TDS does, without anything a stranger should not know."""

    status = fields.String(metadata={"description": "ok, degraded, unhealthy or down"})
    score = fields.Integer(metadata={"description": "from 0 to 100"})
    unwell = fields.List(fields.String(), metadata={"description": "names of components that are not ok"})
    database = fields.String()
    redis = fields.String()
    zoho = fields.Nested(Access)
    figures = fields.Dict(keys=fields.String(), values=fields.Float())


class WholeHealth(Schema):
    """How TDS does, with the reasons."""

    status = fields.String(metadata={"description": "ok, degraded or unhealthy"})
    score = fields.Integer(metadata={"description": "from 0 to 100: a warning costs 10, something critical 40"})
    components = fields.List(fields.Nested(Component))
    figures = fields.Dict(keys=fields.String(), values=fields.Float())


def health_routes(edge: Context) -> Blueprint:
    """Health."""
    routes = Blueprint("health", __name__, url_prefix="/api/tds", description="How TDS does")

    @routes.get("/health")
    @needs(ANYBODY)
    @routes.response(200, ShortHealth)
    @routes.alt_response(503, schema=ShortHealth)
    def short() -> Any:
        """The short health: ok, degraded, unhealthy or down, the score, and the figures it goes by."""
        return _short(edge)

    @routes.get("/health/complete")
    @needs(Role.VIEWER)
    @routes.response(200, WholeHealth)
    def complete() -> Any:
        """Every component, how it does and why, and what to do about it."""
        return whole(edge)

    @routes.get("/monitoring/health")
    @needs(Role.VIEWER)
    @routes.response(200, WholeHealth)
    def monitored() -> Any:
        """The same under the path monitors know."""
        return whole(edge)

    @routes.get("/monitoring/scheduler/jobs")
    @needs(Role.VIEWER)
    @routes.response(200, Job(many=True))
    def jobs() -> Any:
        """The timetable under the path monitors know."""
        with session_scope(edge.engine) as session:
            return schedules(session)

    return routes


def whole(edge: Context) -> dict[str, Any]:
    """The verdict, its score, its components and the figures. Raises what the database raises."""
    with session_scope(edge.engine) as session:
        seen, figures = infrastructure_health(session, edge.settings), queries.health_figures(session)
    found = judged(seen, edge.settings, edge.breakers)
    return {"status": overall(found), "score": score(found), "components": found, "figures": figures}


def redis_standing(edge: Context) -> str:
    """How Redis does, in two words."""
    if not edge.settings.redis_url:
        return "not configured"
    return "reachable" if infrastructure.redis_answers(edge.settings.redis_url) else "away"


def _short(edge: Context) -> Any:
    try:
        found = whole(edge)
        with session_scope(edge.engine) as session:
            zoho = access_report(session, edge.settings)
    except SQLAlchemyError:
        answer: Response = jsonify(status="down", score=0, database="away", redis=redis_standing(edge), figures={})
        answer.status_code = 503
        return answer
    unwell = [each.name for each in found["components"] if each.state is not State.OK]
    return {**found, "unwell": unwell, "database": "reachable", "redis": redis_standing(edge), "zoho": zoho}


class HealthGauges(Collector):
    """Judges health when it is asked; while the database is away it says only how full the memory is."""

    def __init__(self, edge: Context) -> None:
        self._edge = edge

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges as of now."""
        used = used_share()
        yield GaugeMetricFamily("tds_memory_used_ratio", "Share of the memory in use where this is asked.", value=used)
        try:
            with session_scope(self._edge.engine) as session:
                seen = infrastructure_health(session, self._edge.settings)
        except SQLAlchemyError:
            return
        found = judged(seen, self._edge.settings, self._edge.breakers)
        yield GaugeMetricFamily("tds_health_score", "From 0 to 100: how TDS does.", value=score(found))
        yield _states(found)


def _states(found: list[ComponentStatus]) -> GaugeMetricFamily:
    states = GaugeMetricFamily("tds_component_state", "1 for the state it is in.", labels=["component", "state"])
    for component in found:
        for state in State:
            states.add_metric([component.name, state.value], float(component.state is state))
    return states
