"""Routes of comparisons: requested, followed and cancelled; their differences, statements, repairs and advice."""

from dataclasses import asdict
from typing import Any

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.http.correlation import correlation_id
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import PageArgumentsSchema, page_schema
from tds_api.schemas.comparison import (
    ComparisonRequestSchema,
    ComparisonRowSchema,
    ComparisonSchema,
    DifferenceArgumentsSchema,
    OfEntitySchema,
    RecommendationSchema,
    RecordDifferenceSchema,
    RepairPlanSchema,
    RepairRequestSchema,
    StatementSchema,
)
from tds_core.comparison import agreement_statements, comparisons, queries, recommendations, repair
from tds_core.comparison.repair import RepairPlan
from tds_core.comparison.statement_verification import verify_stored
from tds_core.errors import NotFoundError
from tds_models.auth import Role
from tds_models.db import session_scope
from tds_models.entities import ENTITIES


def comparison_routes(context: Context) -> Blueprint:
    """Comparisons of the mirror with its source."""
    routes = Blueprint(
        "comparison", __name__, url_prefix="/api/tds/statistics", description="Is the mirror equal to its source?"
    )

    @routes.post("/compare")
    @needs(Role.OPERATOR)
    @routes.arguments(ComparisonRequestSchema)
    @routes.response(202, ComparisonSchema)
    def start(arguments: dict[str, Any]) -> Any:
        """Request a comparison; while one is open, that one is answered."""
        settings = context.settings
        with session_scope(context.engine) as session:
            comparison_id = comparisons.request_comparison(
                session,
                requested_by=principal_name(),
                entities=arguments["entities"],
                sample_size=arguments["sample"],
                follow_seconds=settings.comparison_follow_seconds if arguments["follow"] else 0.0,
                correlation_id=correlation_id(),
            )
            answer = queries.comparison(session, comparison_id)
        context.nudger.request(arguments["entities"] or list(ENTITIES))
        return answer

    @routes.get("/compare")
    @needs(Role.VIEWER)
    @routes.arguments(OfEntitySchema, location="query")
    @routes.response(200, ComparisonSchema)
    def newest(arguments: dict[str, Any]) -> Any:
        """The newest comparison; with `entity` the newest of that entity, and of it that part alone."""
        with session_scope(context.engine) as session:
            entity = arguments.get("entity")
            found = queries.comparison(session, queries.newest_id(session, entity=entity))
        return queries.of_entity(found, entity) if entity else found

    @routes.get("/comparisons")
    @needs(Role.VIEWER)
    @routes.arguments(PageArgumentsSchema, location="query")
    @routes.response(200, page_schema(ComparisonRowSchema))
    def listed(arguments: dict[str, Any]) -> Any:
        """Comparisons, the newest first."""
        with session_scope(context.engine) as session:
            return queries.comparisons(session, **arguments)

    _single_routes(routes, context)
    _statement_routes(routes, context)
    _repair_routes(routes, context)
    return routes


def _single_routes(routes: Blueprint, context: Context) -> None:
    @routes.get("/compare/<int:comparison_id>")
    @needs(Role.VIEWER)
    @routes.response(200, ComparisonSchema)
    def one(comparison_id: int) -> Any:
        """One comparison: its progress, or its reports."""
        with session_scope(context.engine) as session:
            return queries.comparison(session, _checked_id(comparison_id))

    @routes.get("/compare/<int:comparison_id>/differences")
    @needs(Role.VIEWER)
    @routes.arguments(DifferenceArgumentsSchema, location="query")
    @routes.response(200, page_schema(RecordDifferenceSchema))
    def differences(arguments: dict[str, Any], comparison_id: int) -> Any:
        """The records that differ (confirmed), may differ (suspect), or did (repaired), as they were found."""
        with session_scope(context.engine) as session:
            queries.comparison(session, _checked_id(comparison_id))
            return queries.differences(session, comparison_id, **arguments)

    @routes.post("/compare/<int:comparison_id>/cancel")
    @needs(Role.OPERATOR)
    @routes.response(200, ComparisonSchema)
    def cancel(comparison_id: int) -> Any:
        """Stop a comparison; one that has ended stays as it ended."""
        with session_scope(context.engine) as session:
            comparisons.cancel(session, _checked_id(comparison_id), by=principal_name())
            return queries.comparison(session, comparison_id)


def _checked_id(comparison_id: int) -> int:
    if comparison_id >= 2**63:
        raise NotFoundError(f"There is no comparison {comparison_id}.")
    return comparison_id


def _statement_routes(routes: Blueprint, context: Context) -> None:
    def _statement(number: int | None) -> Any:
        with session_scope(context.engine) as session:
            statement = agreement_statements.read(session, number)
            return {**asdict(statement), **asdict(verify_stored(session, context.settings, statement))}

    @routes.get("/statement")
    @needs(Role.VIEWER)
    @routes.response(200, StatementSchema)
    def newest_statement() -> Any:
        """The newest statement of agreement, and whether it verifies."""
        return _statement(None)

    @routes.get("/statement/<int:number>")
    @needs(Role.VIEWER)
    @routes.response(200, StatementSchema)
    def numbered_statement(number: int) -> Any:
        """A statement of agreement, and whether it verifies."""
        if number >= 2**63:
            raise NotFoundError(f"There is no statement {number}.")
        return _statement(number)


def _repair_routes(routes: Blueprint, context: Context) -> None:
    @routes.post("/sync-differences")
    @needs(Role.OPERATOR)
    @routes.arguments(RepairRequestSchema)
    @routes.response(202, RepairPlanSchema, description="The repair is requested")
    @routes.alt_response(200, schema=RepairPlanSchema, description="What a repair would do (dry_run)", success=True)
    def sync_differences(arguments: dict[str, Any]) -> Any:
        """Have confirmed differences read again; unless `dry_run` is false only say what that would do and cost."""
        plan = _planned(context, arguments)
        context.nudger.request([part.entity for part in plan.parts] if plan.run_ids else [])
        return plan, 200 if arguments["dry_run"] else 202

    @routes.get("/recommendations")
    @needs(Role.VIEWER)
    @routes.response(200, RecommendationSchema(many=True))
    def advice() -> Any:
        """What to do next about the mirror, the most urgent first, with its price."""
        with session_scope(context.engine) as session:
            return recommendations.recommendations(session, context.settings)


def _planned(context: Context, arguments: dict[str, Any]) -> RepairPlan:
    """The plan of a repair; requested too unless it is a dry run."""
    entity = arguments.get("entity")
    with session_scope(context.engine) as session:
        given = arguments.get("comparison_id")
        comparison_id = queries.comparison(session, given)["id"] if given else queries.newest_id(
            session, entity=entity, has_ended=True
        )  # fmt: skip
        plan = repair.plan(
            session,
            context.settings,
            comparison_id,
            entity=entity,
            source_ids=arguments.get("ids", ()),
            includes_asked=arguments["include_asked"],
        )
        repair.refuse_stale(plan, arguments.get("seen_count"))
        if arguments["dry_run"]:
            return plan
        return repair.request(session, plan, requested_by=principal_name(), correlation_id=correlation_id())
