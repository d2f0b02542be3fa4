"""Routes of deletions by hand: one row that its source denies, and the rows of another organisation."""

from functools import partial
from typing import Any

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.http.correlation import correlation_id
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.resources.entities import check_entity
from tds_api.schemas.manual_deletion import (
    DeletionRequestSchema,
    DeletionSchema,
    ForeignRowsRemovalSchema,
    ForeignRowsSchema,
    RemovedRowsSchema,
)
from tds_core.sources.base import Source
from tds_core.sources.registry import open_source
from tds_core.sync import manual_deletion
from tds_core.sync.foreign_organization_rows import ForeignRows
from tds_models.auth import Role
from tds_models.db import session_scope
from tds_models.entities import ENTITIES


def deletion_routes(context: Context) -> Blueprint:
    """Deletions by hand."""
    routes = Blueprint("deletions", __name__, url_prefix="/api/tds", description="Rows marked deleted by a person")
    scope = partial(session_scope, context.engine)

    def source(name: str) -> Source:
        return open_source(name, context.settings, scope, context.breakers)

    @routes.post("/entities/<entity>/<source_id>/delete")
    @needs(Role.ADMIN)
    @routes.arguments(DeletionRequestSchema)
    @routes.response(200, DeletionSchema)
    def mark(arguments: dict[str, Any], entity: str, source_id: str) -> Any:
        """Mark a row deleted: only if Zoho answers that it has no such record, or a person knows that it is gone.

        It is undone when Zoho shows the record again."""
        check_entity(entity)
        outcome = manual_deletion.mark_deleted(
            scope,
            ENTITIES[entity],
            source_id,
            reason=arguments["reason"],
            by=principal_name(),
            correlation_id=correlation_id(),
            source=None if arguments["confirmed_gone"] else source,
        )
        return {"entity": entity, "source_id": source_id, "outcome": outcome.value}

    @routes.get("/foreign-rows")
    @needs(Role.VIEWER)
    @routes.response(200, ForeignRowsSchema(many=True))
    def foreign() -> Any:
        """Living rows that name another organisation than the mirrored one, by entity; reads every living record."""
        with scope() as session:
            return manual_deletion.shown_foreign_rows(session)

    @routes.post("/foreign-rows/remove")
    @needs(Role.ADMIN)
    @routes.arguments(ForeignRowsRemovalSchema)
    @routes.response(200, RemovedRowsSchema)
    def remove(arguments: dict[str, Any]) -> Any:
        """Mark deleted the rows that were shown, at most 5,000 a request; 409 when there are others by now."""
        shown = [ForeignRows(**each) for each in arguments["rows"]]
        with scope() as session:
            found = manual_deletion.shown_foreign_rows(session)
        removed = manual_deletion.remove_shown(
            scope, shown, found, by=principal_name(), correlation_id=correlation_id()
        )
        with scope() as session:
            return {"removed_count": removed, "left": manual_deletion.shown_foreign_rows(session)}

    return routes
