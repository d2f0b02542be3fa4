"""Routes for machines: whether this process lives, whether it can work, and what it counted."""

from typing import Any

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from tds_api.breakers import BreakerGauges
from tds_api.edge import Edge
from tds_api.errors import problem
from tds_api.findings import FindingGauges
from tds_api.gauges import TableGauges
from tds_api.healing import ListenerGauges
from tds_api.permissions import ANYBODY, needs
from tds_api.quota import QuotaGauges
from tds_core.metrics import scraped_registry
from tds_core.reading import readiness, work
from tds_core.reading.connection import connection
from tds_core.sources.zoho.quota.setup import open_governor
from tds_models.db import session_scope


def monitoring_routes(edge: Edge) -> Blueprint:
    """Open routes, bindable to an inner address by whatever stands before TDS."""
    routes = Blueprint("monitoring", __name__)
    governor = open_governor(edge.settings)

    @routes.get("/healthz")
    @needs(ANYBODY)
    def alive() -> Response:
        """This process answers."""
        return jsonify(status="alive")

    @routes.get("/readyz")
    @needs(ANYBODY)
    def ready() -> Response:
        """The database is reachable and migrated. Without Redis work goes on, only slower."""
        return _ready(edge)

    @routes.get("/metrics")
    @needs(ANYBODY)
    def metrics() -> Response:
        """What was counted, and what the tables say now."""
        registry = scraped_registry()
        registry.register(TableGauges(edge.engine))
        registry.register(BreakerGauges(edge.breakers))
        registry.register(FindingGauges(edge.engine))
        registry.register(QuotaGauges(governor))
        registry.register(ListenerGauges(edge.engine))
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    @routes.get("/api/tds/health")
    @needs(ANYBODY)
    def health() -> Response:
        """The short health: ok, degraded or down, with the figures it goes by."""
        return _health(edge)

    return routes


def _ready(edge: Edge) -> Response:
    try:
        with session_scope(edge.engine) as session:
            found = readiness.revision(session)
            zoho = connection(session, edge.settings) if readiness.is_migrated(found) else None
    except SQLAlchemyError:
        return problem(status=503, code="not_ready", detail="The database cannot be reached or was never migrated.")
    if not readiness.is_migrated(found):
        return problem(status=503, code="not_migrated", detail=f"The database is at {found}; run `tds migrate`.")
    return jsonify(status="ready", database=found, redis=_redis(edge), zoho=zoho)


def _redis(edge: Edge) -> str:
    if not edge.settings.redis_url:
        return "not configured"
    return "reachable" if readiness.redis_answers(edge.settings.redis_url) else "away"


def _health(edge: Edge) -> Response:
    try:
        with session_scope(edge.engine) as session:
            figures: dict[str, Any] = work.health_figures(session)
            zoho = connection(session, edge.settings)
    except SQLAlchemyError:
        response = jsonify(status="down", database="away", redis=_redis(edge), figures={})
        response.status_code = 503
        return response
    redis = _redis(edge)
    degraded = redis == "away" or zoho.get("since") is not None
    return jsonify(
        status="degraded" if degraded else "ok", database="reachable", redis=redis, zoho=zoho, figures=figures
    )
