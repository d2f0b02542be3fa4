"""Routes that say how TDS does: in short for anybody, whole for who may see it; what Prometheus is told of it."""

from collections.abc import Iterator
from typing import Any

from flask import Response, jsonify
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from tds_api.blueprint import Blueprint
from tds_api.edge import Edge
from tds_api.permissions import ANYBODY, needs
from tds_api.schemas.health import ShortHealth, WholeHealth
from tds_api.schemas.schedules import Job
from tds_core.memory import used_share
from tds_core.reading import readiness, work
from tds_core.reading.connection import connection
from tds_core.reading.health import Component, State, overall, score
from tds_core.reading.schedules import schedules
from tds_core.reading.surroundings import judged, look
from tds_models.callers import Role
from tds_models.db import session_scope


def health_routes(edge: Edge) -> Blueprint:
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


def whole(edge: Edge) -> dict[str, Any]:
    """The verdict, its score, its components and the figures. Raises what the database raises."""
    with session_scope(edge.engine) as session:
        seen, figures = look(session, edge.settings), work.health_figures(session)
    found = judged(seen, edge.settings, edge.breakers)
    return {"status": overall(found), "score": score(found), "components": found, "figures": figures}


def redis_standing(edge: Edge) -> str:
    """How Redis does, in two words."""
    if not edge.settings.redis_url:
        return "not configured"
    return "reachable" if readiness.redis_answers(edge.settings.redis_url) else "away"


def _short(edge: Edge) -> Any:
    try:
        found = whole(edge)
        with session_scope(edge.engine) as session:
            zoho = connection(session, edge.settings)
    except SQLAlchemyError:
        answer: Response = jsonify(status="down", score=0, database="away", redis=redis_standing(edge), figures={})
        answer.status_code = 503
        return answer
    unwell = [each.name for each in found["components"] if each.state is not State.OK]
    return {**found, "unwell": unwell, "database": "reachable", "redis": redis_standing(edge), "zoho": zoho}


class HealthGauges(Collector):
    """Judges health when it is asked; while the database is away it says only how full the memory is."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges as of now."""
        used = used_share()
        yield GaugeMetricFamily("tds_memory_used_ratio", "Share of the memory in use where this is asked.", value=used)
        try:
            with session_scope(self._edge.engine) as session:
                seen = look(session, self._edge.settings)
        except SQLAlchemyError:
            return
        found = judged(seen, self._edge.settings, self._edge.breakers)
        yield GaugeMetricFamily("tds_health_score", "From 0 to 100: how TDS does.", value=score(found))
        yield _states(found)


def _states(found: list[Component]) -> GaugeMetricFamily:
    states = GaugeMetricFamily("tds_component_state", "1 for the state it is in.", labels=["component", "state"])
    for component in found:
        for state in State:
            states.add_metric([component.name, state.value], float(component.state is state))
    return states
