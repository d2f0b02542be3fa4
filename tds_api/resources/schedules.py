"""Routes of the schedule: jobs listed, changed, paused, resumed, and run out of turn."""

from typing import Any

from marshmallow import Schema, fields, validate

from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import ArgumentsSchema, name_field, perhaps_instant_field
from tds_core.errors import ConfigError
from tds_core.schedule import operations
from tds_core.schedule.job_store import schedule, schedules
from tds_core.sync.run_requests import InvalidRequestError
from tds_models.auth import Role
from tds_models.db import session_scope


class SlotSchema(Schema):
    """One slot of a job."""

    slot_at = perhaps_instant_field()
    begun_at = perhaps_instant_field("null until it is begun")
    ended_at = perhaps_instant_field()
    result = fields.String(allow_none=True, metadata={"description": "completed, failed, skipped or lost"})
    detail = fields.String(allow_none=True)


class JobSchema(Schema):
    """One job, its last slot, and when it runs next."""

    name = fields.String()
    cron = fields.String(metadata={"description": "five fields, UTC; or every:SECONDS"})
    task = fields.String()
    arguments = fields.Raw()
    missed = fields.String(metadata={"description": "once: missed slots are caught up once; skip: left out"})
    paused_at = perhaps_instant_field()
    next_at = perhaps_instant_field("null while it is paused")
    last_slot_at = perhaps_instant_field()
    last_begun_at = perhaps_instant_field("null until it is begun")
    last_ended_at = perhaps_instant_field()
    last_result = fields.String(allow_none=True, metadata={"description": "completed, failed, skipped or lost"})
    last_detail = fields.String(allow_none=True)
    slots = fields.List(fields.Nested(SlotSchema), metadata={"description": "the last seven, the newest first"})


class JobChangeSchema(ArgumentsSchema):
    """What changes about a job."""

    cron = name_field()
    missed = fields.String(validate=validate.OneOf(["once", "skip"]))


def schedule_routes(context: Context) -> Blueprint:
    """The timetable."""
    routes = Blueprint("schedules", __name__, url_prefix="/api/tds/schedules", description="The timetable")

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.response(200, JobSchema(many=True))
    def listed() -> Any:
        """Every job, its last slot and how that ended, and when it runs next."""
        with session_scope(context.engine) as session:
            return schedules(session)

    @routes.get("/<name>")
    @needs(Role.VIEWER)
    @routes.response(200, JobSchema)
    def one(name: str) -> Any:
        """One job."""
        with session_scope(context.engine) as session:
            return schedule(session, name)

    _order_routes(routes, context)
    return routes


def _order_routes(routes: Blueprint, context: Context) -> None:
    @routes.put("/<name>")
    @needs(Role.OPERATOR)
    @routes.arguments(JobChangeSchema)
    @routes.response(200, JobSchema)
    def change(arguments: dict[str, Any], name: str) -> Any:
        """Change when a job runs, or what happens to slots it misses; at once and without a restart."""
        with session_scope(context.engine) as session:
            schedule(session, name)
            if "cron" in arguments:
                try:
                    operations.set_rhythm(session, name, arguments["cron"])
                except ConfigError as error:
                    raise InvalidRequestError(str(error)) from None
            if "missed" in arguments:
                operations.set_missed(session, name, arguments["missed"])
            return schedule(session, name)

    @routes.post("/<name>/run")
    @needs(Role.OPERATOR)
    @routes.response(202, JobSchema)
    def run(name: str) -> Any:
        """Run a job out of turn; the dispatcher begins it within seconds."""
        with session_scope(context.engine) as session:
            operations.request_now(session, name)
            return schedule(session, name)

    @routes.post("/<name>/pause")
    @needs(Role.OPERATOR)
    @routes.response(200, JobSchema)
    def pause(name: str) -> Any:
        """Let no slot of a job run until it is resumed."""
        with session_scope(context.engine) as session:
            operations.pause(session, name)
            return schedule(session, name)

    @routes.post("/<name>/resume")
    @needs(Role.OPERATOR)
    @routes.response(200, JobSchema)
    def resume(name: str) -> Any:
        """Let a job run again from its next slot on; slots that went by meanwhile are not caught up."""
        with session_scope(context.engine) as session:
            operations.resume(session, name)
            return schedule(session, name)
