"""Routes that show findings and let an operator resolve one; what Prometheus is told of them."""

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tds_api.blueprint import Blueprint
from tds_api.callers import acting
from tds_api.edge import Edge
from tds_api.permissions import needs
from tds_api.schemas.common import page_schema
from tds_api.schemas.findings import Finding, FindingArguments
from tds_core.quality import findings as quality
from tds_models.callers import Role
from tds_models.db import session_scope


def finding_routes(edge: Edge) -> Blueprint:
    """Findings."""
    routes = Blueprint(
        "findings", __name__, url_prefix="/api/tds/findings", description="What a person should know of the records"
    )

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.arguments(FindingArguments, location="query")
    @routes.response(200, page_schema(Finding))
    def findings(arguments: dict[str, Any]) -> Any:
        """Findings, the newest first."""
        with session_scope(edge.engine) as session:
            return quality.findings(session, **arguments)

    @routes.post("/<int:finding_id>/resolve")
    @needs(Role.OPERATOR)
    @routes.response(200, Finding)
    def resolve(finding_id: int) -> Any:
        """Close a finding; it is kept again only should the same be seen anew."""
        with session_scope(edge.engine) as session:
            return quality.resolve(session, finding_id, by=acting())

    return routes


class FindingGauges(Collector):
    """Reads the table when it is asked; while that cannot be read it says nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauge as of now."""
        try:
            with session_scope(self._engine) as session:
                counts = quality.open_counts(session)
        except SQLAlchemyError:
            return
        gauge = GaugeMetricFamily("tds_findings_open", "Findings nobody has resolved.", labels=["kind", "severity"])
        for row in counts:
            gauge.add_metric([row["kind"], row["severity"]], row["count"])
        yield gauge
