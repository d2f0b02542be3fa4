"""Routes of runs: seen, asked for, cancelled, and decided when they are held.

Routes that ask for syncs, entity by entity or all at once, and those of stock.
"""

from typing import Any

from tds_api.auth.authentication import acting
from tds_api.auth.permissions import needs
from tds_api.context import Context
from tds_api.http.correlation import correlation_id
from tds_api.openapi import Blueprint
from tds_api.resources.entities import check_entity
from tds_api.schemas.common import page_schema
from tds_api.schemas.runs import (
    Approval,
    RepairAnswer,
    Run,
    RunArguments,
    RunRequest,
    StockIds,
    StockStats,
    SyncAllArguments,
    SyncAnswer,
    SyncArguments,
    WholeRun,
)
from tds_core.errors import NotFoundError
from tds_core.invariants.repair import request_repair
from tds_core.mirror import status
from tds_core.sync import holds, run_requests, runs
from tds_core.sync import run_queries as reading
from tds_models.auth import Role
from tds_models.db import session_scope
from tds_models.entities import ENTITIES


def run_routes(edge: Context) -> Blueprint:
    """Runs."""
    routes = Blueprint("runs", __name__, url_prefix="/api/tds/runs", description="Runs: passes over what Zoho lists")

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.arguments(RunArguments, location="query")
    @routes.response(200, page_schema(Run))
    def listed(arguments: dict[str, Any]) -> Any:
        """Runs, the newest first; those that wait for a decision with `state=held`."""
        with session_scope(edge.engine) as session:
            return reading.runs(session, **arguments)

    @routes.post("")
    @needs(Role.OPERATOR)
    @routes.arguments(RunRequest)
    @routes.response(202, SyncAnswer)
    def start(arguments: dict[str, Any]) -> Any:
        """Ask for a run. An open pass is not begun twice; a full one waits behind an incremental one that runs."""
        return asked(edge, **arguments)

    @routes.get("/<int:run_id>")
    @needs(Role.VIEWER)
    @routes.response(200, WholeRun)
    def one(run_id: int) -> Any:
        """One run: how far it is, what held it, what a dry run found."""
        with session_scope(edge.engine) as session:
            return reading.run(session, _fitting(run_id))

    _decisions(routes, edge)
    return routes


def _decisions(routes: Blueprint, edge: Context) -> None:
    @routes.post("/<int:run_id>/cancel")
    @needs(Role.OPERATOR)
    @routes.response(200, WholeRun)
    def cancel(run_id: int) -> Any:
        """Stop a run before its next page; one that has ended stays as it ended."""
        with session_scope(edge.engine) as session:
            runs.cancel(session, _fitting(run_id), by=acting())
            return reading.run(session, run_id)

    @routes.post("/<int:run_id>/approve")
    @needs(Role.OPERATOR)
    @routes.arguments(Approval)
    @routes.response(200, WholeRun)
    def approve(arguments: dict[str, Any], run_id: int) -> Any:
        """Let a held run go on where it stopped, up to so many records; beyond them it is held again."""
        with session_scope(edge.engine) as session:
            reading.run(session, _fitting(run_id))
            holds.approve(session, run_id, by=acting(), **arguments)
            return reading.run(session, run_id)

    @routes.post("/<int:run_id>/reject")
    @needs(Role.OPERATOR)
    @routes.response(200, WholeRun)
    def reject(run_id: int) -> Any:
        """End a held run; what it wrote before stays, and it changes nothing more."""
        with session_scope(edge.engine) as session:
            reading.run(session, _fitting(run_id))
            holds.reject(session, run_id, by=acting())
            return reading.run(session, run_id)


def _fitting(run_id: int) -> int:
    if run_id >= 2**63:
        raise NotFoundError(f"There is no run {run_id}.")
    return run_id


def asked(
    edge: Context, *, entity: str, mode: str, ids: list[str] | None = None, full: bool = False, force: bool = False
) -> dict[str, Any]:
    """Ask for a run and wake the workers. Returns a `SyncAnswer`."""
    answer: dict[str, Any] = {"entity": entity, "mode": mode}
    with session_scope(edge.engine) as session:
        answer["run_id"] = run_requests.request_sync(
            session,
            entity=entity,
            mode=mode,
            ids=ids or (),
            full=full,
            force=force,
            requested_by=acting(),
            correlation_id=correlation_id(),
        )
    if ids:
        answer["item_count"] = len(set(ids))
    edge.bell.ask([entity])
    return answer


STOCK = "stock_level"


def sync_routes(edge: Context) -> Blueprint:
    """Syncs on request."""
    routes = Blueprint("syncs", __name__, url_prefix="/api/tds/sync", description="Syncs on request")

    @routes.post("/<entity>")
    @needs(Role.OPERATOR)
    @routes.arguments(SyncArguments)
    @routes.response(202, SyncAnswer)
    def sync(arguments: dict[str, Any], entity: str) -> Any:
        """Ask for a sync: what changed, everything, given records, or what a pass would change (`dry_run`)."""
        check_entity(entity)
        return asked(edge, entity=entity, **arguments)

    @routes.post("/all")
    @needs(Role.OPERATOR)
    @routes.arguments(SyncAllArguments)
    @routes.response(202, SyncAnswer(many=True))
    def sync_all(arguments: dict[str, Any]) -> Any:
        """Ask for a sync of every entity."""
        return [asked(edge, entity=name, **arguments) for name in ENTITIES]

    @routes.post("/<entity>/repair")
    @needs(Role.OPERATOR)
    @routes.response(202, RepairAnswer)
    def repair(entity: str) -> Any:
        """Have rows read anew that are not what their history says: taken away or changed by hand."""
        check_entity(entity)
        with session_scope(edge.engine) as session:
            found = request_repair(session, entity=entity, requested_by=acting(), correlation_id=correlation_id())
        edge.bell.ask([entity])
        return found

    _stock_routes(routes, edge)
    return routes


def _stock_routes(routes: Blueprint, edge: Context) -> None:
    @routes.post("/stock")
    @needs(Role.OPERATOR)
    @routes.response(202, SyncAnswer)
    def stock_now() -> Any:
        """Ask for the stock of everything, now."""
        return asked(edge, entity=STOCK, mode="incremental")

    @routes.post("/stock/specific")
    @needs(Role.OPERATOR)
    @routes.arguments(StockIds)
    @routes.response(202, SyncAnswer)
    def stock_of(arguments: dict[str, Any]) -> Any:
        """Ask for the stock of given products, by their ids."""
        return asked(edge, entity=STOCK, mode="targeted", **arguments)

    @routes.get("/stock/stats")
    @needs(Role.VIEWER)
    @routes.response(200, StockStats)
    def stats() -> Any:
        """How much stock is mirrored, how fresh it is, and how its passes went in the last day."""
        with session_scope(edge.engine) as session:
            return status.stock_status(session)
