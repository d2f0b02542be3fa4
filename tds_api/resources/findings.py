"""Routes that show findings and let an operator resolve one; what Prometheus is told of them.

The shapes of findings.
"""

from collections.abc import Iterator
from typing import Any

from marshmallow import Schema, fields, validate
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tds_api.auth.authentication import acting
from tds_api.auth.permissions import needs
from tds_api.context import Context
from tds_api.openapi import Blueprint
from tds_api.schemas.common import (
    PageArguments,
    entity_field,
    id_field,
    instant_field,
    name_field,
    page_schema,
    perhaps_instant_field,
)
from tds_core.quality import findings as quality
from tds_models.auth import Role
from tds_models.db import session_scope
from tds_models.quality import Severity


class FindingArguments(PageArguments):
    """Which findings."""

    kind = name_field()
    entity = entity_field()
    is_open = fields.Boolean(data_key="open", metadata={"description": "true: those nobody has resolved yet"})


class Finding(Schema):
    """Something a person should know about an entity, or one of its records."""

    id = id_field()
    kind = fields.String(metadata={"description": "schema_drift, say"})
    severity = fields.String(validate=validate.OneOf(list(Severity)))
    source = fields.String()
    entity = fields.String()
    subject = fields.String(metadata={"description": "what it is about: a field, a record's id"})
    detail = fields.Raw(metadata={"description": "of schema_drift: news (new key, other kind, key gone), part, kinds"})
    first_seen_at = instant_field()
    last_seen_at = instant_field()
    resolved_at = perhaps_instant_field()
    resolved_by = fields.String(allow_none=True)


def finding_routes(edge: Context) -> Blueprint:
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
