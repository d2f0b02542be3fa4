"""Routes of the mirror: each entity's rows, their history and their timeline, one set of routes a declaration."""

from typing import Any

from tds_api.auth.permissions import needs
from tds_api.http.etags import ETAG_HEADER, with_etag
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import PageArgumentsSchema, page_schema
from tds_api.schemas.mirror import (
    AsOfArgumentsSchema,
    ChangeSchema,
    EntityStatusSchema,
    ExplanationSchema,
    StoryArgumentsSchema,
    row_arguments_schema,
    row_schema,
    whole_row_schema,
)
from tds_core.errors import NotFoundError
from tds_core.explain.timeline import StepFilter, explain
from tds_core.mirror import as_of
from tds_core.mirror import row_queries as mirror_rows
from tds_core.mirror.row_queries import etag_of_row, etag_of_rows
from tds_core.mirror.status import entity_statuses, with_ends
from tds_core.sources.zoho.quota.governor import open_governor
from tds_core.statistics.latest_entity_figures import stored_counts
from tds_core.sync.run_requests import InvalidRequestError
from tds_models.auth import Role
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

_UNCHANGED = "Unchanged since this ETag"


def check_entity(name: str) -> None:
    """Return if TDS mirrors an entity of this name. Raises NotFoundError."""
    if name not in ENTITIES:
        raise NotFoundError(f"TDS mirrors nothing called {name[:80]!r}.")


def entity_routes(context: Context) -> Blueprint:
    """The mirror."""
    routes = Blueprint("entities", __name__, url_prefix="/api/tds", description="The mirror")
    governor = open_governor(context.settings)

    @routes.get("/entities")
    @needs(Role.VIEWER)
    @routes.response(200, EntityStatusSchema(many=True))
    def statuses() -> Any:
        """The status of every entity: rows, newest change, details to come, cursor and last run.

        The rows of large tables are counted every hour: `counted_at` says when."""
        with context.reads.scope() as session:
            entities = entity_statuses(session, stored_counts(session))
        return with_ends(entities, governor)

    for entity in ENTITIES.values():
        _routes_of(routes, context, entity)
    return routes


def _routes_of(routes: Blueprint, context: Context, entity: Entity) -> None:
    @routes.get(f"/entities/{entity.name}", endpoint=f"{entity.name}_rows")
    @needs(Role.VIEWER)
    @routes.arguments(row_arguments_schema(entity.name), location="query")
    @routes.response(200, page_schema(row_schema(entity.name)), headers=ETAG_HEADER)
    @routes.alt_response(304, description=_UNCHANGED)
    @routes.doc(summary=f"{entity.title} in the order of their ids, by their filters, now or as of a moment")
    def rows(arguments: dict[str, Any]) -> Any:
        at = arguments.pop("as_of", None)
        where = {name: arguments.pop(name) for name in entity.filters if name in arguments}
        if at and (where or arguments.keys() & {"changed_since", "confirmed"}):
            raise InvalidRequestError("With as_of, rows are filtered by `deleted` alone.")
        with context.reads.scope() as session:
            if at:
                return as_of.rows_at(session, entity, at=at, **arguments)
            tag = etag_of_rows(session, entity, where=where, **arguments)
            return with_etag(tag, lambda: mirror_rows.rows(session, entity, where=where, **arguments))

    @routes.get(f"/entities/{entity.name}/<source_id>", endpoint=f"{entity.name}_row")
    @needs(Role.VIEWER)
    @routes.arguments(AsOfArgumentsSchema, location="query")
    @routes.response(200, whole_row_schema(entity.name), headers=ETAG_HEADER)
    @routes.alt_response(304, description=_UNCHANGED)
    @routes.doc(summary=f"One {entity.name} with its lines and the source's own record, now or as of a moment")
    def row(arguments: dict[str, Any], source_id: str) -> Any:
        at = arguments.get("as_of")
        with context.reads.scope() as session:
            if at:
                return as_of.row_at(session, entity, _id(source_id), at)
            tag = etag_of_row(session, entity, _id(source_id))
            return with_etag(tag, lambda: mirror_rows.row(session, entity, source_id))

    @routes.get(f"/entities/{entity.name}/<source_id>/history", endpoint=f"{entity.name}_history")
    @needs(Role.VIEWER)
    @routes.arguments(PageArgumentsSchema, location="query")
    @routes.response(200, page_schema(ChangeSchema))
    @routes.doc(summary=f"The versions of one {entity.name}, the newest first")
    def history(arguments: dict[str, Any], source_id: str) -> Any:
        with context.reads.scope() as session:
            return mirror_rows.history(session, entity, _id(source_id), **arguments)

    @routes.get(f"/explain/{entity.name}/<source_id>", endpoint=f"{entity.name}_story")
    @needs(Role.VIEWER)
    @routes.arguments(StoryArgumentsSchema, location="query")
    @routes.response(200, ExplanationSchema)
    @routes.doc(
        summary=f"The story of one {entity.name}: how it stands, webhooks, attempts with their calls, changes, runs,"
        " dead letters and what operators did, the newest steps in the order of time"
    )
    def story(arguments: dict[str, Any], source_id: str) -> Any:
        with context.reads.scope() as session:
            return explain(session, entity, _id(source_id), StepFilter(**arguments))


def _id(source_id: str) -> str:
    """Refuse an id with a NUL, which PostgreSQL cannot store. Raises NotFoundError."""
    if "\x00" in source_id:
        raise NotFoundError("No record has an id with a NUL character.")
    return source_id
