"""Routes that ask the source for one record and show it beside the mirror's row.

The shape of a record as the source shows it now, beside the mirror's row.
"""

import threading
from typing import Any

from marshmallow import Schema, fields, validate

from tds_api.auth.permissions import needs
from tds_api.context import Context
from tds_api.openapi import Blueprint
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


class Difference(Schema):
    """One field that is not the same on both sides."""

    field = fields.String()
    here = fields.Raw(allow_none=True)
    there = fields.Raw(allow_none=True)


class Live(Schema):
    """Both sides of one record."""

    entity = fields.String()
    source_id = id_field()
    verdict = fields.String(validate=validate.OneOf(VERDICTS))
    differences = fields.List(fields.Nested(Difference))
    not_shown = fields.List(
        fields.String(),
        metadata={"description": "fields with a value here that the source does not show of a record alone"},
    )
    problem = fields.String(allow_none=True, metadata={"description": "why the record cannot be read"})
    asked_at = instant_field()
    is_cached = fields.Boolean(metadata={"description": "kept from a moment ago; nothing newer is known since"})
    mirror_modified_at = perhaps_instant_field()
    record = fields.Raw(allow_none=True, metadata={"description": "the source's own record; null when it has none"})


def live_routes(edge: Context) -> Blueprint:
    """Single records as they are now."""
    routes = Blueprint("live", __name__, url_prefix="/api/tds/live", description="Records as the source has them now")
    cache, held = open_cache(edge.settings), threading.local()

    def source(name: str) -> Source:
        """A client of this thread's own: clients are not shared between threads."""
        clients: dict[str, Source] = held.__dict__.setdefault("clients", {})
        if name not in clients:
            clients[name] = registry.open_source(name, edge.settings, lambda: session_scope(edge.engine), edge.breakers)
        return clients[name]

    @routes.get("/<entity>/<source_id>")
    @needs(Role.OPERATOR)
    @routes.response(200, Live)
    def live(entity: str, source_id: str) -> Any:
        """Ask for one record, or take an answer of the last minutes of which nothing newer is known, and compare."""
        if entity not in ENTITIES or "\x00" in source_id:
            raise NotFoundError(f"TDS mirrors no {entity[:80]!r} of this id.")
        chosen = ENTITIES[entity]
        client = source(chosen.stream.source)
        return compare_live(lambda: session_scope(edge.engine), client, cache, chosen, source_id)

    return routes
