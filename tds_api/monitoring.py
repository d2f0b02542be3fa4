"""Routes for machines: whether this process lives, whether it can work, and what it counted."""

from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from tds_api.breakers import BreakerGauges
from tds_api.edge import Edge
from tds_api.errors import problem
from tds_api.findings import FindingGauges
from tds_api.gauges import TableGauges
from tds_api.healing import ListenerGauges
from tds_api.health import HealthGauges, redis_standing
from tds_api.permissions import ANYBODY, needs
from tds_api.quota import QuotaGauges
from tds_core.reading import readiness
from tds_core.reading.connection import connection
from tds_core.scraping import scraped_registry
from tds_core.sources.zoho.quota.governor import Governor
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
        return Response(generate_latest(everything(edge, governor)), content_type=CONTENT_TYPE_LATEST)

    return routes


def everything(edge: Edge, governor: Governor) -> CollectorRegistry:
    """What is counted and what is measured, of all of TDS."""
    registry = scraped_registry()
    for gauges in (
        TableGauges(edge.engine),
        HealthGauges(edge),
        BreakerGauges(edge.breakers),
        FindingGauges(edge.engine),
        QuotaGauges(governor),
        ListenerGauges(edge.engine),
    ):
        registry.register(gauges)
    return registry


def _ready(edge: Edge) -> Response:
    try:
        with session_scope(edge.engine) as session:
            found = readiness.revision(session)
            zoho = connection(session, edge.settings) if readiness.is_migrated(found) else None
    except SQLAlchemyError:
        return problem(status=503, code="not_ready", detail="The database cannot be reached or was never migrated.")
    if not readiness.is_migrated(found):
        return problem(status=503, code="not_migrated", detail=f"The database is at {found}; run `tds migrate`.")
    return jsonify(status="ready", database=found, redis=redis_standing(edge), zoho=zoho)
