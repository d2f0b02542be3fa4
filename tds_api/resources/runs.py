"""Routes of runs and syncs: list, request, cancel, approve and reject; repair, and the stock of products."""

from typing import Any, NotRequired, TypedDict

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.http.correlation import correlation_id
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.resources.entities import check_entity
from tds_api.schemas.common import page_schema
from tds_api.schemas.runs import (
    ApprovalSchema,
    RepairAnswerSchema,
    RunArgumentsSchema,
    RunRequestSchema,
    RunSchema,
    StockIdsSchema,
    StockStatsSchema,
    SyncAllArgumentsSchema,
    SyncAnswerSchema,
    SyncArgumentsSchema,
    WholeRunSchema,
)
from tds_core.errors import NotFoundError
from tds_core.invariants.row_repair import request_repair
from tds_core.mirror.stock_statistics import stock_status
from tds_core.statistics.latest_entity_figures import stored_stock
from tds_core.sync import mass_change_guard, run_queries, run_requests, runs
from tds_models.auth import Role
from tds_models.db import session_scope
from tds_models.entities import ENTITIES


def run_routes(context: Context) -> Blueprint:
    """Runs."""
    routes = Blueprint("runs", __name__, url_prefix="/api/tds/runs", description="Runs: passes over what Zoho lists")

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.arguments(RunArgumentsSchema, location="query")
    @routes.response(200, page_schema(RunSchema))
    def listed(arguments: dict[str, Any]) -> Any:
        """Runs, the newest first; those that wait for a decision with `state=held`."""
        with session_scope(context.engine) as session:
            return run_queries.runs(session, **arguments)

    @routes.post("")
    @needs(Role.OPERATOR)
    @routes.arguments(RunRequestSchema)
    @routes.response(202, SyncAnswerSchema)
    def start(arguments: dict[str, Any]) -> Any:
        """Request a run. An open one is not begun twice; a full one waits behind an incremental one that runs."""
        return _request_sync(context, **arguments)

    @routes.get("/<int:run_id>")
    @needs(Role.VIEWER)
    @routes.response(200, WholeRunSchema)
    def one(run_id: int) -> Any:
        """One run: its progress, its holds, and the report of a dry run."""
        with session_scope(context.engine) as session:
            return run_queries.run(session, _checked_id(run_id))

    _decision_routes(routes, context)
    return routes


def _decision_routes(routes: Blueprint, context: Context) -> None:
    @routes.post("/<int:run_id>/cancel")
    @needs(Role.OPERATOR)
    @routes.response(200, WholeRunSchema)
    def cancel(run_id: int) -> Any:
        """Stop a run before its next page; one that has ended stays as it ended."""
        with session_scope(context.engine) as session:
            runs.cancel(session, _checked_id(run_id), by=principal_name())
            return run_queries.run(session, run_id)

    @routes.post("/<int:run_id>/approve")
    @needs(Role.OPERATOR)
    @routes.arguments(ApprovalSchema)
    @routes.response(200, WholeRunSchema)
    def approve(arguments: dict[str, Any], run_id: int) -> Any:
        """Let a held run go on where it stopped, up to so many records; beyond them it is held again."""
        with session_scope(context.engine) as session:
            run_queries.run(session, _checked_id(run_id))
            mass_change_guard.approve(session, run_id, by=principal_name(), **arguments)
            return run_queries.run(session, run_id)

    @routes.post("/<int:run_id>/reject")
    @needs(Role.OPERATOR)
    @routes.response(200, WholeRunSchema)
    def reject(run_id: int) -> Any:
        """End a held run; what it wrote before stays, and it changes nothing more."""
        with session_scope(context.engine) as session:
            run_queries.run(session, _checked_id(run_id))
            mass_change_guard.reject(session, run_id, by=principal_name())
            return run_queries.run(session, run_id)


def _checked_id(run_id: int) -> int:
    if run_id >= 2**63:
        raise NotFoundError(f"There is no run {run_id}.")
    return run_id


class SyncAnswer(TypedDict):
    """What `SyncAnswerSchema` shows; `item_count` only where ids were given."""

    entity: str
    mode: str
    run_id: int
    item_count: NotRequired[int]


def _request_sync(
    context: Context, *, entity: str, mode: str, ids: list[str] | None = None, full: bool = False, force: bool = False
) -> SyncAnswer:
    """Request a run and nudge the workers."""
    with session_scope(context.engine) as session:
        run_id = run_requests.request_sync(
            session,
            entity=entity,
            mode=mode,
            ids=ids or (),
            full=full,
            force=force,
            requested_by=principal_name(),
            correlation_id=correlation_id(),
        )
    answer: SyncAnswer = {"entity": entity, "mode": mode, "run_id": run_id}
    if ids:
        answer["item_count"] = len(set(ids))
    context.nudger.request([entity])
    return answer


STOCK = "stock_level"


def sync_routes(context: Context) -> Blueprint:
    """Syncs on request."""
    routes = Blueprint("syncs", __name__, url_prefix="/api/tds/sync", description="Syncs on request")

    @routes.post("/<entity>")
    @needs(Role.OPERATOR)
    @routes.arguments(SyncArgumentsSchema)
    @routes.response(202, SyncAnswerSchema)
    def sync(arguments: dict[str, Any], entity: str) -> Any:
        """Request a sync: what changed, everything, given records, or what a pass would change (`dry_run`)."""
        check_entity(entity)
        return _request_sync(context, entity=entity, **arguments)

    @routes.post("/all")
    @needs(Role.OPERATOR)
    @routes.arguments(SyncAllArgumentsSchema)
    @routes.response(202, SyncAnswerSchema(many=True))
    def sync_all(arguments: dict[str, Any]) -> Any:
        """Request a sync of every entity."""
        return [_request_sync(context, entity=name, **arguments) for name in ENTITIES]

    @routes.post("/<entity>/repair")
    @needs(Role.OPERATOR)
    @routes.response(202, RepairAnswerSchema)
    def repair(entity: str) -> Any:
        """Refetch rows that differ from their history: deleted or changed by hand."""
        check_entity(entity)
        with session_scope(context.engine) as session:
            result = request_repair(
                session, entity=entity, requested_by=principal_name(), correlation_id=correlation_id()
            )
        context.nudger.request([entity])
        return result

    _stock_routes(routes, context)
    return routes


def _stock_routes(routes: Blueprint, context: Context) -> None:
    @routes.post("/stock")
    @needs(Role.OPERATOR)
    @routes.response(202, SyncAnswerSchema)
    def stock_now() -> Any:
        """Request the stock of all products, now."""
        return _request_sync(context, entity=STOCK, mode="incremental")

    @routes.post("/stock/specific")
    @needs(Role.OPERATOR)
    @routes.arguments(StockIdsSchema)
    @routes.response(202, SyncAnswerSchema)
    def stock_of(arguments: dict[str, Any]) -> Any:
        """Request the stock of given products, by their ids."""
        return _request_sync(context, entity=STOCK, mode="targeted", **arguments)

    @routes.get("/stock/stats")
    @needs(Role.VIEWER)
    @routes.response(200, StockStatsSchema)
    def stats() -> Any:
        """The mirrored stock, its freshness, and its runs of the last day.

        Of many products it is measured every hour: `measured_at` says when."""
        with session_scope(context.engine) as session:
            return stock_status(session, stored_stock(session))
