"""Routes for machines: whether this process lives, whether it can work, and what it counted.

What Prometheus is told of the tables at every scrape: depth and age of the queue, and what waits for a person.
"""

from collections.abc import Iterator, Mapping

import structlog
from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tds_api.auth.permissions import ANYBODY, needs
from tds_api.context import Context
from tds_api.http.problems import problem
from tds_api.resources.breakers import BreakerGauges
from tds_api.resources.findings import FindingGauges
from tds_api.resources.healing import ListenerGauges
from tds_api.resources.health import HealthGauges, redis_standing
from tds_api.resources.quota import QuotaGauges
from tds_core.health import infrastructure
from tds_core.observability import process
from tds_core.observability.prometheus import scraped_registry
from tds_core.queue import queries
from tds_core.schedule import jobs
from tds_core.sources.zoho.connection import access_report
from tds_core.sources.zoho.quota.governor import Governor, open_governor
from tds_models.db import session_scope

log = structlog.get_logger(__name__)

_SUMMARY = {
    "dead_letters": ("tds_dead_letters_open", "Work given up until a person decides."),
    "events_without_verdict": ("tds_events_without_verdict", "Accepted events whose record is still owed a sync."),
    "open_runs": ("tds_runs_open", "Runs queued or under way."),
}
_STATES = ("due", "waiting", "leased")


class TableGauges(Collector):
    """Reads the tables when it is asked; says tds_database_up 0 and nothing else while they cannot be read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges as of now."""
        try:
            with session_scope(self._engine) as session:
                stats, figures = queries.queue_stats(session), queries.health_figures(session)
                silent, overdue = process.silent_seconds(session), jobs.overdue_seconds(session)
        except SQLAlchemyError as error:
            log.warning("gauges_unreadable", error=type(error).__name__)
            yield GaugeMetricFamily("tds_database_up", "Whether the database answered this scrape.", value=0)
            return
        yield GaugeMetricFamily("tds_database_up", "Whether the database answered this scrape.", value=1)
        depth = GaugeMetricFamily("tds_queue_depth", "Live work items.", labels=["entity", "state"])
        age = GaugeMetricFamily("tds_queue_oldest_due_seconds", "Age of the oldest due item.", labels=["entity"])
        for row in stats:
            for state in _STATES:
                depth.add_metric([row["entity"], state], row[f"{state}_count"])
            age.add_metric([row["entity"]], row["oldest_due_seconds"])
        yield depth
        yield age
        for name, (metric, meaning) in _SUMMARY.items():
            yield GaugeMetricFamily(metric, meaning, value=figures.get(name, 0))
        yield _by("tds_pulse_silent_seconds", "Since a process last showed that it makes progress.", "pulse", silent)
        yield _by("tds_schedule_overdue_seconds", "How long a slot is due that nobody took.", "job", overdue)


def _by(name: str, meaning: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for value in sorted(values):
        family.add_metric([value], values[value])
    return family


def monitoring_routes(edge: Context) -> Blueprint:
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


def everything(edge: Context, governor: Governor) -> CollectorRegistry:
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


def _ready(edge: Context) -> Response:
    try:
        with session_scope(edge.engine) as session:
            found = infrastructure.revision(session)
            zoho = access_report(session, edge.settings) if infrastructure.is_migrated(found) else None
    except SQLAlchemyError:
        return problem(status=503, code="not_ready", detail="The database cannot be reached or was never migrated.")
    if not infrastructure.is_migrated(found):
        return problem(status=503, code="not_migrated", detail=f"The database is at {found}; run `tds migrate`.")
    return jsonify(status="ready", database=found, redis=redis_standing(edge), zoho=zoho)
