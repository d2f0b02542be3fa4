"""Routes of statistics: the mirror's figures with the source's side, trends, history, and the scorecard."""

from typing import Any

from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.statistics import (
    CombinedSchema,
    HistoryArgumentsSchema,
    HistorySchema,
    ScorecardSchema,
    StatisticsOverviewSchema,
    WorkHealthSchema,
    report_schema,
)
from tds_core.statistics import reports
from tds_core.statistics.acceptance_facts import scorecard
from tds_models.auth import Role
from tds_models.db import session_scope
from tds_models.entities import ENTITIES

#: The paths of entities that have a report of their own.
PATHS = {"items": "product", "customers": "customer", "vendors": "vendor", "pricelists": "price_list",
         "stock": "stock_level"}  # fmt: skip


def statistics_routes(context: Context) -> Blueprint:
    """Statistics."""
    routes = Blueprint("statistics", __name__, url_prefix="/api/tds", description="Figures, trends and acceptance")
    zone = context.settings.time_zone

    @routes.get("/statistics/overview")
    @needs(Role.VIEWER)
    @routes.response(200, StatisticsOverviewSchema)
    def overview() -> Any:
        """Every entity's figures with the source's count, what was synced today, and success rates."""
        with session_scope(context.engine) as session:
            return reports.overview(session, zone=zone)

    for path, entity in PATHS.items():
        _report_route(routes, context, path, entity)
    _work_routes(routes, context)
    return routes


def _report_route(routes: Blueprint, context: Context, path: str, entity: str) -> None:
    @routes.get(f"/statistics/{path}", endpoint=f"{entity}_report")
    @needs(Role.VIEWER)
    @routes.response(200, report_schema(entity))
    @routes.doc(summary=f"{ENTITIES[entity].title}: figures, the source's count, and trends of 7 and 30 days")
    def report() -> Any:
        with session_scope(context.engine) as session:
            return reports.entity_reports(session, [entity], zone=context.settings.time_zone)[0]


def _work_routes(routes: Blueprint, context: Context) -> None:
    zone = context.settings.time_zone

    @routes.get("/statistics/health")
    @needs(Role.VIEWER)
    @routes.response(200, WorkHealthSchema)
    def health() -> Any:
        """How the work does: success rates, what was synced today, freshness, and latency of webhooks."""
        with session_scope(context.engine) as session:
            return reports.work_health(session, zone=zone)

    @routes.get("/statistics/history")
    @needs(Role.VIEWER)
    @routes.arguments(HistoryArgumentsSchema, location="query")
    @routes.response(200, HistorySchema)
    def history(arguments: dict[str, Any]) -> Any:
        """The figures at the end of each of the last days, and how they changed in 7 and 30 days."""
        names = [arguments["entity"]] if "entity" in arguments else list(ENTITIES)
        with session_scope(context.engine) as session:
            return reports.history(session, days=arguments["days"], entities=names, zone=zone)

    @routes.get("/statistics/acceptance")
    @needs(Role.VIEWER)
    @routes.response(200, ScorecardSchema)
    def acceptance() -> Any:
        """The scorecard of acceptance: what must hold for seven days, and whether it does."""
        with session_scope(context.engine) as session:
            return scorecard(session, zone=zone)

    @routes.get("/stats/combined")
    @needs(Role.VIEWER)
    @routes.response(200, CombinedSchema(many=True))
    def combined() -> Any:
        """Each entity as the mirror has it, beside what the source was last seen to have, and when."""
        with session_scope(context.engine) as session:
            return reports.combined_figures(session, zone=zone)
