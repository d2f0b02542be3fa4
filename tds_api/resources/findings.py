"""Routes of findings: listed, and resolved by operators."""

from typing import Any

from marshmallow import Schema, fields, validate

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import (
    PageArgumentsSchema,
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
from tds_models.findings import Severity


class FindingArgumentsSchema(PageArgumentsSchema):
    """Which findings."""

    kind = name_field()
    entity = entity_field()
    is_open = fields.Boolean(data_key="open", metadata={"description": "true: only those that are not resolved"})


class FindingSchema(Schema):
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


def finding_routes(context: Context) -> Blueprint:
    """Findings."""
    routes = Blueprint(
        "findings", __name__, url_prefix="/api/tds/findings", description="What a person should know of the records"
    )

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.arguments(FindingArgumentsSchema, location="query")
    @routes.response(200, page_schema(FindingSchema))
    def findings(arguments: dict[str, Any]) -> Any:
        """Findings, the newest first."""
        with session_scope(context.engine) as session:
            return quality.findings(session, **arguments)

    @routes.post("/<int:finding_id>/resolve")
    @needs(Role.OPERATOR)
    @routes.response(200, FindingSchema)
    def resolve(finding_id: int) -> Any:
        """Resolve a finding; it opens again only if the same is seen anew."""
        with session_scope(context.engine) as session:
            return quality.resolve(session, finding_id, by=principal_name())

    return routes
