"""Routes that ask for syncs, entity by entity or all at once, and those of stock."""

from typing import Any

from tds_api.blueprint import Blueprint
from tds_api.callers import acting
from tds_api.correlation import correlation_id
from tds_api.edge import Edge
from tds_api.entities import check_entity
from tds_api.permissions import needs
from tds_api.runs import asked
from tds_api.schemas.runs import RepairAnswer, StockIds, StockStats, SyncAllArguments, SyncAnswer, SyncArguments
from tds_core.reading import stock
from tds_core.verifying.repair import request_repair
from tds_models.callers import Role
from tds_models.db import session_scope
from tds_models.entities import ENTITIES

STOCK = "stock_level"


def sync_routes(edge: Edge) -> Blueprint:
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


def _stock_routes(routes: Blueprint, edge: Edge) -> None:
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
            return stock.figures(session)
