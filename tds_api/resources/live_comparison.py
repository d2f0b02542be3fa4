"""The route of live comparison: one record read from the source now, beside the mirror's row."""

import threading
from typing import Any

from marshmallow import Schema, fields, validate

from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import id_field, instant_field, perhaps_instant_field
from tds_core.errors import NotFoundError
from tds_core.mirror.live_comparison import compare_live
from tds_core.sources import registry
from tds_core.sources.base import Source
from tds_core.sources.response_cache import open_cache
from tds_models.auth import Role
from tds_models.db import session_scope
from tds_models.entities import ENTITIES

VERDICTS = ("equal", "different", "only_there", "only_here", "nowhere", "unreadable")


class DifferenceSchema(Schema):
    """One field that is not the same on both sides."""

    field = fields.String()
    here = fields.Raw(allow_none=True)
    there = fields.Raw(allow_none=True)


class LiveSchema(Schema):
    """Both sides of one record."""

    entity = fields.String()
    source_id = id_field()
    verdict = fields.String(validate=validate.OneOf(VERDICTS))
    differences = fields.List(fields.Nested(DifferenceSchema))
    not_shown = fields.List(
        fields.String(),
        metadata={"description": "fields with a value here that the source does not show of a record alone"},
    )
    problem = fields.String(allow_none=True, metadata={"description": "why the record cannot be read"})
    asked_at = instant_field()
    is_cached = fields.Boolean(metadata={"description": "from the cache; nothing newer is known since"})
    mirror_modified_at = perhaps_instant_field()
    record = fields.Raw(allow_none=True, metadata={"description": "the source's own record; null when it has none"})


def live_comparison_routes(context: Context) -> Blueprint:
    """Single records as they are now."""
    routes = Blueprint("live", __name__, url_prefix="/api/tds/live", description="Records as the source has them now")
    cache, per_thread = open_cache(context.settings), threading.local()

    def source(name: str) -> Source:
        """This thread's client: clients are not thread-safe."""
        clients: dict[str, Source] = per_thread.__dict__.setdefault("clients", {})
        if name not in clients:
            clients[name] = registry.open_source(
                name, context.settings, lambda: session_scope(context.engine), context.breakers
            )
        return clients[name]

    @routes.get("/<entity>/<source_id>")
    @needs(Role.OPERATOR)
    @routes.response(200, LiveSchema)
    def live(entity: str, source_id: str) -> Any:
        """Read one record from the source, or from the cache while nothing newer is known, and compare."""
        if entity not in ENTITIES or "\x00" in source_id:
            raise NotFoundError(f"TDS mirrors no {entity[:80]!r} of this id.")
        declared = ENTITIES[entity]
        client = source(declared.stream.source)
        return compare_live(lambda: session_scope(context.engine), client, cache, declared, source_id)

    return routes
