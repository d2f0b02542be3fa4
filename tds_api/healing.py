"""Routes of auto-healing: a cycle now, what it did lately, and its history; what Prometheus is told of the workers."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tds_api.blueprint import Blueprint
from tds_api.callers import acting
from tds_api.edge import Edge
from tds_api.permissions import needs
from tds_api.schemas.common import page_schema
from tds_api.schemas.healing import HealingArguments, HealingDeed, HealingFigures, HistoryArguments, WholeCycle
from tds_core.healing import cycle, figures
from tds_core.healing.care import Care
from tds_core.healing.deeds import Cause
from tds_core.sources import registry
from tds_models.callers import Role
from tds_models.db import session_scope
from tds_tasks import liveness


def healing_routes(edge: Edge) -> Blueprint:
    """Auto-healing."""
    routes = Blueprint(
        "auto-healing", __name__, url_prefix="/api/tds/auto-healing", description="What goes wrong and is put right"
    )

    @routes.post("/run")
    @needs(Role.OPERATOR)
    @routes.response(200, WholeCycle)
    def run() -> Any:
        """Look at everything that can be healed, now and in this process, and put it right; Redis may be away."""
        care = _care(edge)
        with care.scope() as session:
            begun = cycle.begin(session, cause=Cause.OPERATOR, by=acting())
        cycle.run(care, begun, cause=Cause.OPERATOR)
        with care.scope() as session:
            return figures.cycle(session, begun)

    @routes.get("/stats")
    @needs(Role.VIEWER)
    @routes.arguments(HealingArguments, location="query")
    @routes.response(200, HealingFigures)
    def stats(arguments: dict[str, Any]) -> Any:
        """What each action did, how soon records recovered, the last cycle, and which workers listen."""
        with session_scope(edge.engine) as session:
            return figures.figures(session, **arguments)

    @routes.get("/history")
    @needs(Role.VIEWER)
    @routes.arguments(HistoryArguments, location="query")
    @routes.response(200, page_schema(HealingDeed))
    def history(arguments: dict[str, Any]) -> Any:
        """What was put right or told of, the newest first."""
        with session_scope(edge.engine) as session:
            return figures.history(session, **arguments)

    return routes


def _care(edge: Edge) -> Care:
    def scope() -> AbstractContextManager[Session]:
        return session_scope(edge.engine)

    def announce(entity: str) -> bool:
        edge.bell.ask([entity])
        return True

    return Care(
        settings=edge.settings,
        scope=scope,
        breakers=edge.breakers,
        announce=announce,
        dead=liveness.dead,
        source=lambda name: registry.open_source(name, edge.settings, scope, edge.breakers),
    )


class ListenerGauges(Collector):
    """Reads who listens when it is asked; while that cannot be read it says nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges as of now."""
        try:
            with session_scope(self._engine) as session:
                workers, queues = figures.worker_counts(session), figures.unheard_seconds(session)
        except SQLAlchemyError:
            return
        states = GaugeMetricFamily("tds_workers", "Workers, by how they do.", labels=["state"])
        for state, count in workers.items():
            states.add_metric([state], count)
        yield states
        unheard = GaugeMetricFamily(
            "tds_queue_unheard_seconds",
            "Since when canaries on a queue go unheard; 0: they are heard.",
            labels=["queue"],
        )
        for queue, seconds in queues.items():
            unheard.add_metric([queue], seconds)
        yield unheard
