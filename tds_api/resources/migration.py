"""Routes of the way from an old sync: how the mirror and its tables compare, day by day."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, fields

from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import (
    PageArgumentsSchema,
    entity_field,
    id_field,
    instant_field,
    page_schema,
    perhaps_instant_field,
)
from tds_core.cutover import days as cutover_days
from tds_core.cutover.days import DAYS_BEFORE_PROMOTION, EntityReadiness
from tds_core.cutover.promotion import open_promotion
from tds_core.statistics.local_time import local_day
from tds_models.auth import Role
from tds_models.db import session_scope


class MigrationArgumentsSchema(PageArgumentsSchema):
    """Which results."""

    entity = entity_field()


class MigrationDaySchema(Schema):
    """What one comparison with the old table of an entity found."""

    id = id_field()
    day = fields.Date(metadata={"description": "of the installation's time zone"})
    entity = fields.String()
    requested_by = fields.String()
    started_at = instant_field()
    ended_at = perhaps_instant_field("null: it did not end, and proves nothing")
    old_count = fields.Integer(metadata={"description": "records in the old table"})
    here_count = fields.Integer(metadata={"description": "living rows of the mirror"})
    equal_count = fields.Integer()
    duplicate_count = fields.Integer(metadata={"description": "old rows beyond the first of a record"})
    unkeyed_count = fields.Integer(metadata={"description": "old rows that name no record"})
    different_count = fields.Integer()
    missing_old_count = fields.Integer()
    missing_here_count = fields.Integer()
    old_wrong_count = fields.Integer(metadata={"description": "the source has what the mirror has"})
    tds_wrong_count = fields.Integer(metadata={"description": "the source has what the old table has"})
    both_wrong_count = fields.Integer()
    changed_meanwhile_count = fields.Integer()
    not_asked_count = fields.Integer(metadata={"description": "of these it is not known yet who is right"})
    field_counts = fields.Dict(keys=fields.String(), values=fields.Integer())
    call_count = fields.Integer(metadata={"description": "calls to the source"})


class MigrationEntitySchema(Schema):
    """How an entity stands. `problems`: why it may not take its old table's place yet."""

    entity = fields.String()
    clean_day_count = fields.Integer(metadata={"description": "days in a row on which TDS had no record wrong"})
    is_ready = fields.Boolean()
    problems = fields.List(fields.String())
    newest = fields.Nested(MigrationDaySchema, allow_none=True, metadata={"description": "of the last 32 days"})


class MigrationSchema(Schema):
    """How far the way from the old sync has come."""

    clean_days_needed = fields.Integer()
    promoted_at = perhaps_instant_field("since when the mirror stands under the old names")
    promoted_by = fields.String(allow_none=True)
    entities = fields.List(fields.Nested(MigrationEntitySchema))


def migration_routes(context: Context) -> Blueprint:
    """The comparison with an old sync's tables. It is made by `tds migrate-from`; here it is read."""
    routes = Blueprint(
        "migration", __name__, url_prefix="/api/tds/migration", description="Who is right, TDS or the sync before it?"
    )

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.response(200, MigrationSchema)
    def state() -> Any:
        """How each compared entity stands, and whether the mirror has the old names."""
        today = local_day(datetime.now(UTC), context.settings.time_zone)
        with session_scope(context.engine) as session:
            found = cutover_days.readiness_of_compared(session, today=today)
            standing = open_promotion(session)
        return {
            "clean_days_needed": DAYS_BEFORE_PROMOTION,
            "promoted_at": standing.promoted_at if standing else None,
            "promoted_by": standing.promoted_by if standing else None,
            "entities": [_entity(each) for each in found],
        }

    @routes.get("/days")
    @needs(Role.VIEWER)
    @routes.arguments(MigrationArgumentsSchema, location="query")
    @routes.response(200, page_schema(MigrationDaySchema))
    def days(arguments: dict[str, Any]) -> Any:
        """Results of comparisons, one an entity each time, the newest first."""
        with session_scope(context.engine) as session:
            return cutover_days.day_results(session, **arguments)

    return routes


def _entity(readiness: EntityReadiness) -> dict[str, Any]:
    return {**asdict(readiness), "is_ready": not readiness.problems}
