"""Routes of the dashboard: everything it shows, in one response."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from marshmallow import Schema, fields, validate

from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.resources.breakers import BreakerSchema
from tds_api.resources.health import HealthReport, WholeHealthSchema, health_report
from tds_api.resources.quota import QuotaSchema
from tds_api.resources.schedules import JobSchema
from tds_api.schemas.inbox_and_queue import QueueStatsSchema, ReceptionSchema
from tds_api.schemas.mirror import EntityStatusSchema
from tds_core.inbox import queries as inbox_queries
from tds_core.inbox.queries import ReceptionHealth
from tds_core.mirror.status import EntityStatusWithEnd, detail_calls, entity_statuses, with_ends
from tds_core.queue import queries as queue_queries
from tds_core.queue.items import database_clock
from tds_core.schedule.job_store import schedules
from tds_core.sources.zoho.quota.forecast import QuotaDocument, quota_document
from tds_core.sources.zoho.quota.governor import Governor, open_governor
from tds_core.sources.zoho.quota.usage_snapshot import QuotaUnknownError
from tds_core.statistics.latest_entity_figures import stored_counts
from tds_core.statistics.set_up import StepName, StepState, set_up
from tds_models.auth import Role
from tds_models.db import session_scope


class OverviewSchema(Schema):
    """The health of TDS, the webhooks received, and the status of every entity."""

    at = fields.AwareDateTime(format="iso")
    health = fields.Nested(WholeHealthSchema)
    reception = fields.Nested(ReceptionSchema)
    entities = fields.List(fields.Nested(EntityStatusSchema))


class WholeOverviewSchema(OverviewSchema):
    """The overview with the queue, the breakers, the quota and the timetable."""

    queue = fields.List(fields.Nested(QueueStatsSchema))
    breakers = fields.List(fields.Nested(BreakerSchema))
    quota = fields.Nested(
        QuotaSchema, allow_none=True, metadata={"description": "null while the counters of calls cannot be read"}
    )
    schedules = fields.List(fields.Nested(JobSchema))


class SetUpStepSchema(Schema):
    """A step of the set-up, with what its check saw."""

    name = fields.String(validate=validate.OneOf(list(StepName)))
    state = fields.String(validate=validate.OneOf(list(StepState)))
    says = fields.String()


class SetUpSchema(Schema):
    """How far the installation is set up."""

    steps = fields.List(fields.Nested(SetUpStepSchema))
    next = fields.String(allow_none=True, metadata={"description": "the first that is not done; null when all are"})


class Overview(TypedDict):
    """What `OverviewSchema` shows."""

    at: datetime
    health: HealthReport
    reception: ReceptionHealth
    entities: list[EntityStatusWithEnd]


def overview_routes(context: Context) -> Blueprint:
    """The overview."""
    routes = Blueprint("dashboard", __name__, url_prefix="/api/tds/dashboard", description="Everything in one answer")
    governor = open_governor(context.settings)

    def overview() -> Overview:
        with context.reads.scope() as session:
            at, reception = database_clock(session), inbox_queries.reception_health(session)
            entities = entity_statuses(session, stored_counts(session))
        return {
            "at": at,
            "health": health_report(context),
            "reception": reception,
            "entities": with_ends(entities, governor),
        }

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.response(200, OverviewSchema)
    def short() -> Any:
        """The health of TDS, the webhooks received lately, and the status of every entity."""
        return overview()

    @routes.get("/complete")
    @needs(Role.VIEWER)
    @routes.response(200, WholeOverviewSchema)
    def complete() -> Any:
        """The same with the queue by entity, the breakers, the quota and the timetable."""
        with session_scope(context.engine) as session:
            queue, jobs, calls = queue_queries.queue_stats(session), schedules(session), detail_calls(session)
        breakers, quota = context.breakers.states(), _quota(calls, governor)
        return {**overview(), "queue": queue, "breakers": breakers, "quota": quota, "schedules": jobs}

    @routes.get("/set-up")
    @needs(Role.VIEWER)
    @routes.response(200, SetUpSchema)
    def steps() -> Any:
        """The steps from the connection to the first alert channel, how far each is, and the next one."""
        with session_scope(context.engine) as session:
            return set_up(session, context.settings)

    return routes


def _quota(calls: Mapping[str, int], governor: Governor) -> QuotaDocument | None:
    try:
        return quota_document(governor.forecast(calls))
    except QuotaUnknownError:
        return None
