"""Routes of statistics: the mirror's figures with the source's side, trends, history, and the scorecard."""

from typing import Any

from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import PageArgumentsSchema, page_schema
from tds_api.schemas.statistics import (
    ActivityHistorySchema,
    CombinedSchema,
    DeploymentSchema,
    FreshnessHistorySchema,
    HistoryArgumentsSchema,
    HistorySchema,
    ScorecardSchema,
    StatisticsOverviewSchema,
    WorkHealthSchema,
    report_schema,
)
from tds_core.statistics import reports
from tds_core.statistics.acceptance_facts import scorecard
from tds_core.statistics.activity_history import activity_history
from tds_core.statistics.deployments import list_deployments
from tds_core.statistics.freshness import freshness_history
from tds_models.auth import Role
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
        with context.reads.scope() as session:
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
        with context.reads.scope() as session:
            return reports.entity_reports(session, [entity], zone=context.settings.time_zone)[0]


def _work_routes(routes: Blueprint, context: Context) -> None:
    zone = context.settings.time_zone

    @routes.get("/statistics/health")
    @needs(Role.VIEWER)
    @routes.response(200, WorkHealthSchema)
    def health() -> Any:
        """How the work does: success rates, what was synced today, freshness, and latency of webhooks."""
        with context.reads.scope() as session:
            return reports.work_health(session, zone=zone)

    @routes.get("/statistics/history")
    @needs(Role.VIEWER)
    @routes.arguments(HistoryArgumentsSchema, location="query")
    @routes.response(200, HistorySchema)
    def history(arguments: dict[str, Any]) -> Any:
        """The figures at the end of each of the last days, and how they changed in 7 and 30 days."""
        names = [arguments["entity"]] if "entity" in arguments else list(ENTITIES)
        with context.reads.scope() as session:
            return reports.history(session, days=arguments["days"], entities=names, zone=zone)

    @routes.get("/statistics/activity")
    @needs(Role.VIEWER)
    @routes.arguments(HistoryArgumentsSchema, location="query")
    @routes.response(200, ActivityHistorySchema)
    def activity(arguments: dict[str, Any]) -> Any:
        """What happened in each hour of the last days, up to seven, or on each of more days, of an entity or of all."""
        with context.reads.scope() as session:
            return activity_history(session, zone=zone, **arguments)

    @routes.get("/statistics/freshness")
    @needs(Role.VIEWER)
    @routes.arguments(HistoryArgumentsSchema, location="query")
    @routes.response(200, FreshnessHistorySchema)
    def freshness(arguments: dict[str, Any]) -> Any:
        """For how long changes at the source may have been unknown, at the end of each hour or day, by entity."""
        with context.reads.scope() as session:
            return freshness_history(session, zone=zone, **arguments)

    @routes.get("/statistics/deployments")
    @needs(Role.VIEWER)
    @routes.arguments(PageArgumentsSchema, location="query")
    @routes.response(200, page_schema(DeploymentSchema))
    def deployments(arguments: dict[str, Any]) -> Any:
        """Since when which version of TDS runs, with the revision of the schema, the newest first."""
        with context.reads.scope() as session:
            return list_deployments(session, **arguments)

    @routes.get("/statistics/acceptance")
    @needs(Role.VIEWER)
    @routes.response(200, ScorecardSchema)
    def acceptance() -> Any:
        """The scorecard of acceptance: what must hold for seven days, and whether it does."""
        with context.reads.scope() as session:
            return scorecard(session, zone=zone)

    @routes.get("/stats/combined")
    @needs(Role.VIEWER)
    @routes.response(200, CombinedSchema(many=True))
    def combined() -> Any:
        """Each entity as the mirror has it, beside what the source was last seen to have, and when."""
        with context.reads.scope() as session:
            return reports.combined_figures(session, zone=zone)
