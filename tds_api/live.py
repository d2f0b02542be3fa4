"""Routes that ask the source for one record and show it beside the mirror's row."""

import threading
from typing import Any

from tds_api.blueprint import Blueprint
from tds_api.edge import Edge
from tds_api.permissions import needs
from tds_api.schemas.live import Live
from tds_core.reading.errors import NotFoundError
from tds_core.reading.live import compare_live
from tds_core.sources import registry
from tds_core.sources.base import Source
from tds_core.sources.cache_setup import open_cache
from tds_models.callers import Role
from tds_models.db import session_scope
from tds_models.entities import ENTITIES


def live_routes(edge: Edge) -> Blueprint:
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
