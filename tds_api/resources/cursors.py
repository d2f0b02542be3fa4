"""Routes of cursors, where incremental reads begin: listed, and set by operators."""

from typing import Any

from marshmallow import Schema, fields

from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.resources.entities import check_entity
from tds_api.schemas.common import ArgumentsSchema, Instant, perhaps_instant_field
from tds_core.sync import cursors
from tds_models.auth import Role
from tds_models.db import session_scope


class CursorSchema(Schema):
    """Where the next incremental read of an entity begins."""

    entity = fields.String()
    modified_at = perhaps_instant_field("changes from here on are read; null: everything")
    updated_at = perhaps_instant_field()
    run_id = fields.String(allow_none=True, metadata={"description": "the run that moved it; null: none, or a person"})


class CursorArgumentsSchema(ArgumentsSchema):
    """Where to set it."""

    modified_at = Instant(required=True, format="iso")


def cursor_routes(context: Context) -> Blueprint:
    """Cursors."""
    routes = Blueprint("cursors", __name__, url_prefix="/api/tds/cursors", description="Where incremental reads begin")

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.response(200, CursorSchema(many=True))
    def all_cursors() -> Any:
        """The cursor of every entity that has one."""
        with session_scope(context.engine) as session:
            return cursors.cursors(session)

    @routes.post("/<entity>")
    @needs(Role.OPERATOR)
    @routes.arguments(CursorArgumentsSchema)
    @routes.response(200, CursorSchema)
    def put(arguments: dict[str, Any], entity: str) -> Any:
        """Have the next incremental read begin at a moment, also one before where it would; never one to come."""
        check_entity(entity)
        with session_scope(context.engine) as session:
            return cursors.put(session, entity, **arguments)

    return routes
