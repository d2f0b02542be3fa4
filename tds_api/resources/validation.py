"""Routes of data validation: reports of entities, of integrity and of orphans, and those made in the background."""

import dataclasses
from contextlib import AbstractContextManager
from typing import Any

from flask import Response, jsonify
from sqlalchemy.orm import Session

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import page_schema
from tds_api.schemas.validation import (
    FinishedReportSchema,
    StoredReportArgumentsSchema,
    StoredReportSchema,
    ValidationArgumentsSchema,
    ValidationReportSchema,
)
from tds_core.validation import stored_reports
from tds_core.validation.report import INTEGRITY, ORPHANS, ValidationReport
from tds_core.validation.report_requests import NEW_SECONDS, SHOWN_SECONDS, report_on_demand, subject_called
from tds_core.validation.rules import severities
from tds_models.auth import Role
from tds_models.db import session_scope

_LATER = "Too many records for one answer: a worker makes the report. Its progress, and where to ask for it (Location)"
_PATH = "/api/tds/data-validation"


def validation_routes(context: Context) -> Blueprint:
    """Data validation."""
    routes = Blueprint("validation", __name__, url_prefix=_PATH, description="Which records break a rule")

    @routes.post("/<entity>")
    @needs(Role.OPERATOR)
    @routes.arguments(ValidationArgumentsSchema, location="query")
    @routes.response(200, ValidationReportSchema)
    @routes.alt_response(202, schema=StoredReportSchema, description=_LATER)
    def validate(arguments: dict[str, Any], entity: str) -> Any:
        """Validate an entity (`product`, `products`, `items`), or `integrity` or `orphans`, as it is now."""
        return _answer(context, subject_called(entity), arguments["limit"], NEW_SECONDS)

    @routes.get(f"/{INTEGRITY}")
    @needs(Role.VIEWER)
    @routes.arguments(ValidationArgumentsSchema, location="query")
    @routes.response(200, ValidationReportSchema)
    @routes.alt_response(202, schema=StoredReportSchema, description=_LATER)
    def integrity(arguments: dict[str, Any]) -> Any:
        """Missing fields, wrong numbers, duplicates, totals, stale records, and rows that are not what their history
        says; of many records as they were within the last day."""
        return _answer(context, INTEGRITY, arguments["limit"], SHOWN_SECONDS)

    @routes.get(f"/{ORPHANS}")
    @needs(Role.VIEWER)
    @routes.arguments(ValidationArgumentsSchema, location="query")
    @routes.response(200, ValidationReportSchema)
    @routes.alt_response(202, schema=StoredReportSchema, description=_LATER)
    def orphans(arguments: dict[str, Any]) -> Any:
        """References that lead nowhere, lines without a parent, products without a category; of many records as they
        were within the last day."""
        return _answer(context, ORPHANS, arguments["limit"], SHOWN_SECONDS)

    _stored_routes(routes, context)
    return routes


def _stored_routes(routes: Blueprint, context: Context) -> None:
    @routes.get("/reports")
    @needs(Role.VIEWER)
    @routes.arguments(StoredReportArgumentsSchema, location="query")
    @routes.response(200, page_schema(StoredReportSchema))
    def listed(arguments: dict[str, Any]) -> Any:
        """Reports made in the background, the newest first."""
        with session_scope(context.engine) as session:
            return stored_reports.reports(session, **arguments)

    @routes.get("/reports/<int:report_id>")
    @needs(Role.VIEWER)
    @routes.response(200, FinishedReportSchema)
    def one(report_id: int) -> Any:
        """The progress of a report made in the background, and what it found."""
        with session_scope(context.engine) as session:
            return stored_reports.progress(session, report_id)


def _answer(context: Context, subject: str, limit: int, at_most_seconds: int) -> Any:
    def scope() -> AbstractContextManager[Session]:
        return session_scope(context.engine)

    found = report_on_demand(
        scope, subject, severities(context.settings), requested_by=principal_name(), at_most_seconds=at_most_seconds
    )
    if isinstance(found, ValidationReport):
        return dataclasses.replace(found, issues=found.issues[:limit])
    response: Response = jsonify(StoredReportSchema().dump(found))
    response.headers["Location"], response.headers["Retry-After"] = f"{_PATH}/reports/{found['id']}", "2"
    return response, 202
