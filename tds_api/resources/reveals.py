"""Routes of reveals: the personal data of one record is shown on pages for a while, with a reason that is recorded."""

from typing import Any

from marshmallow import Schema, fields, validate

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.resources.entities import check_entity
from tds_api.schemas.common import ArgumentsSchema, id_field, perhaps_instant_field
from tds_core.auth.reveals import REVEALED_FOR, revealed_until
from tds_core.queue.items import database_clock
from tds_models.auth import Role
from tds_models.db import session_scope

_PATH = "/<entity>/<source_id>/reveal"


class RevealArgumentsSchema(ArgumentsSchema):
    """Why the personal data of a record is to be seen."""

    reason = fields.String(
        required=True, validate=validate.Length(3, 200), metadata={"description": "stands in the action log"}
    )


class RevealSchema(Schema):
    """Whether the caller sees the personal data of a record on pages."""

    entity = fields.String()
    source_id = id_field()
    until = perhaps_instant_field("when it is masked again; null while it is masked")


def reveal_routes(context: Context) -> Blueprint:
    """Personal data of single records."""
    routes = Blueprint(
        "reveals", __name__, url_prefix="/api/tds/entities", description="Personal data of records on pages"
    )

    @routes.get(_PATH)
    @needs(Role.VIEWER)
    @routes.response(200, RevealSchema)
    def revealed(entity: str, source_id: str) -> Any:
        """Whether, and until when, the caller sees the personal data of a record."""
        check_entity(entity)
        with session_scope(context.engine) as session:
            until = revealed_until(session, caller=principal_name(), entity=entity, source_id=source_id)
        return {"entity": entity, "source_id": source_id, "until": until}

    @routes.post(_PATH)
    @needs(Role.OPERATOR)
    @routes.arguments(RevealArgumentsSchema)
    @routes.response(200, RevealSchema)
    def reveal(arguments: dict[str, Any], entity: str, source_id: str) -> Any:  # noqa: ARG001 (the action log keeps it)
        """Show the caller the personal data of a record on pages for 15 minutes; the action log keeps the reason."""
        check_entity(entity)
        with session_scope(context.engine) as session:
            until = database_clock(session) + REVEALED_FOR
        return {"entity": entity, "source_id": source_id, "until": until}

    @routes.delete(_PATH)
    @needs(Role.OPERATOR)
    @routes.response(200, RevealSchema)
    def conceal(entity: str, source_id: str) -> Any:
        """Mask the personal data of a record again."""
        check_entity(entity)
        return {"entity": entity, "source_id": source_id, "until": None}

    return routes
