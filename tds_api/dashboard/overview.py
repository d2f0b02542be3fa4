"""Routes that answer the overview: everything a dashboard shows, in one answer.

The shapes of the overview: what a wall shows, and everything behind it.
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields

from tds_api.auth.permissions import needs
from tds_api.context import Context
from tds_api.openapi import Blueprint
from tds_api.resources.breakers import Breaker
from tds_api.resources.health import WholeHealth, whole
from tds_api.resources.quota import Quota
from tds_api.resources.schedules import Job
from tds_api.schemas.inbox_and_queue import QueueStats, Reception
from tds_api.schemas.mirror import Standing
from tds_core.inbox import queries as inbox_queries
from tds_core.mirror.status import detail_calls, entity_statuses, with_ends
from tds_core.queue import queries as queue_queries
from tds_core.queue.items import database_clock
from tds_core.schedule.jobs import schedules
from tds_core.sources.zoho.quota.forecast import quota_document
from tds_core.sources.zoho.quota.governor import Governor, open_governor
from tds_core.sources.zoho.quota.usage import QuotaUnknownError
from tds_models.auth import Role
from tds_models.db import session_scope


class Overview(Schema):
    """How TDS does, what came in, and where every entity stands."""

    at = fields.AwareDateTime(format="iso")
    health = fields.Nested(WholeHealth)
    reception = fields.Nested(Reception)
    entities = fields.List(fields.Nested(Standing))


class WholeOverview(Overview):
    """The overview with the queue, the breakers, the quota and the timetable."""

    queue = fields.List(fields.Nested(QueueStats))
    breakers = fields.List(fields.Nested(Breaker))
    quota = fields.Nested(
        Quota, allow_none=True, metadata={"description": "null while nobody can read how much is used"}
    )
    schedules = fields.List(fields.Nested(Job))


def dashboard_routes(edge: Context) -> Blueprint:
    """The overview."""
    routes = Blueprint("dashboard", __name__, url_prefix="/api/tds/dashboard", description="Everything in one answer")
    governor = open_governor(edge.settings)

    def overview() -> dict[str, Any]:
        with session_scope(edge.engine) as session:
            at, received, found = (
                database_clock(session),
                inbox_queries.reception_health(session),
                entity_statuses(session),
            )
        return {"at": at, "health": whole(edge), "reception": received, "entities": with_ends(found, governor)}

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.response(200, Overview)
    def short() -> Any:
        """How TDS does, what came in lately, and where every entity stands."""
        return overview()

    @routes.get("/complete")
    @needs(Role.VIEWER)
    @routes.response(200, WholeOverview)
    def complete() -> Any:
        """The same with the queue by entity, the breakers, the quota and the timetable."""
        with session_scope(edge.engine) as session:
            queue, jobs, calls = queue_queries.queue_stats(session), schedules(session), detail_calls(session)
        breakers, quota = edge.breakers.states(), _quota(calls, governor)
        return {**overview(), "queue": queue, "breakers": breakers, "quota": quota, "schedules": jobs}

    return routes


def _quota(calls: Mapping[str, int], governor: Governor) -> dict[str, Any] | None:
    try:
        return quota_document(governor.forecast(calls))
    except QuotaUnknownError:
        return None
